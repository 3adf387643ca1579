/* power_cut FOLDER: the file system there ends as if the power were cut. Nothing that is only in memory reaches the disk,
 * its own log included. Source: Linux, include/uapi/linux/fs.h, FS_IOC_SHUTDOWN. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define FS_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2

int main(int count, char **arguments) {
    if (count != 2) return 2;
    uint32_t how = NO_LOG_FLUSH;
    int fd = open(arguments[1], O_RDONLY);
    if (fd < 0 || ioctl(fd, FS_IOC_SHUTDOWN, &how) != 0) {
        perror(arguments[1]);
        return 1;
    }
    return 0;
}
