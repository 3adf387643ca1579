//! Folders and files that are taken away from under a running journal: nothing is acknowledged that the next start would not
//! find, and what was acknowledged before is sent all the same.

use super::*;
use crate::journal::ledger::BOOT_FILE;
use crate::journal::testing::{Chance, Op};
use std::sync::atomic::{AtomicBool, Ordering};

fn open_file(id: SegmentId) -> PathBuf {
    Path::new(DIR).join(FileName { id, state: FileState::Open }.file())
}

fn gone(result: Result<Committed, CommitError>) -> Gone {
    match result {
        Err(CommitError::Gone(gone)) => gone,
        other => panic!("not gone but {other:?}"),
    }
}

fn stored(journal: &mut Journal) -> BTreeMap<u64, usize> {
    let mut table = Table::default();
    drain(journal, &mut table);
    table.counts()
}

#[test]
fn a_folder_that_was_removed_is_made_again_and_what_was_in_it_is_sent() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    commit(&mut journal, &[1]).unwrap();
    journal.seal(Lane::Disk, SPANS);
    commit(&mut journal, &[2]).unwrap();
    disk.remove_folder();
    assert_eq!(gone(commit(&mut journal, &[3])), Gone::Folder, "no start would find it");
    assert_eq!(journal.backlog().view().rows_in_memory, 2, "a crash would lose what is in the files that are open");
    commit(&mut journal, &[3, 4]).expect("its sender tries again, and there is a folder by then");
    assert_eq!(journal.backlog().view().rows_in_memory, 2);
    assert!(disk.names_in(Path::new(DIR)).contains(&BOOT_FILE.to_owned()));
    assert_eq!(stored(&mut journal), (1..=4).map(|number| (number, 1)).collect());
    // what was committed to the new folder is there after a power cut too
    commit(&mut journal, &[5]).unwrap();
    disk.cut_power(&mut Chance(1));
    assert!(open(&disk, options(2)).unwrap().heard.contains(&5));
}

#[test]
fn a_folder_that_was_removed_while_nothing_is_sent_is_noticed_by_whoever_watches() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    commit(&mut journal, &[1]).unwrap();
    journal.seal(Lane::Disk, SPANS);
    disk.remove_folder();
    journal.watch().unwrap();
    assert_eq!(journal.backlog().view().rows_in_memory, 1);
    commit(&mut journal, &[2]).expect("the new folder is there before the first sender comes");
}

#[test]
fn a_folder_that_is_replaced_by_another_journal_shuts_it_until_it_is_back() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    commit(&mut journal, &[1]).unwrap();
    disk.move_folder(true);
    for number in [2, 3] {
        assert_eq!(gone(commit(&mut journal, &[number])), Gone::Folder);
        assert!(matches!(journal.watch(), Err(CommitError::Gone(Gone::Folder))));
    }
    let mut segment = take(journal.backlog(), Order::Fair).expect("what was acknowledged is sent meanwhile");
    let mut table = Table::default();
    table.deliver(segment.id(), &segment.load().unwrap(), Fate::Stored).unwrap();
    segment.stored(0);
    disk.move_folder(false);
    journal.watch().unwrap();
    commit(&mut journal, &[2]).unwrap();
    disk.kill();
    let mut again = open(&disk, options(2)).unwrap();
    drain(&mut again.journal, &mut table);
    assert_eq!(table.counts(), BTreeMap::from([(1, 1), (2, 1)]), "what was refused is in no file");
}

#[test]
fn a_file_that_was_removed_while_rows_are_added_costs_a_try_and_nothing_else() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    let id = commit(&mut journal, &[1]).unwrap().segment;
    disk.take_away(&open_file(id));
    assert_eq!(gone(commit(&mut journal, &[2])), Gone::File);
    assert_eq!(journal.backlog().view().rows_in_memory, 1);
    assert_ne!(commit(&mut journal, &[2]).unwrap().segment, id);
    assert_eq!(stored(&mut journal), BTreeMap::from([(1, 1), (2, 1)]));
}

/// Taken away between the sync of its header and the rename that gives it its name.
#[test]
fn a_file_or_folder_that_is_removed_while_a_segment_is_begun_costs_a_try_and_nothing_else() {
    type Remove = fn(&SimDisk);
    let file: Remove = |disk| {
        let begun = disk.names_in(Path::new(DIR)).into_iter().find(|name| name.ends_with(".new")).unwrap();
        disk.take_away(&Path::new(DIR).join(begun));
    };
    for (remove, what) in [(file, Gone::File), (SimDisk::remove_folder, Gone::Folder)] {
        let disk = SimDisk::default();
        let mut journal = open(&disk, options(1)).unwrap().journal;
        let (of_hook, is_left) = (disk.clone(), AtomicBool::new(true));
        disk.before_sync(move || {
            if is_left.swap(false, Ordering::SeqCst) {
                remove(&of_hook);
            }
        });
        assert_eq!(gone(commit(&mut journal, &[1])), what);
        let _found_by_whoever_watches = journal.watch();
        commit(&mut journal, &[1]).expect("its sender tries again");
        assert_eq!(stored(&mut journal), BTreeMap::from([(1, 1)]));
    }
}

#[test]
fn a_file_that_was_prepared_and_removed_is_not_used() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, Options { prepare_ahead: true, ..options(1) }).unwrap().journal;
    let prepared = loop {
        if let Some(name) = disk.names_in(Path::new(DIR)).into_iter().find(|name| FileName::read(name).is_some()) {
            break name;
        }
        std::thread::yield_now();
    };
    disk.take_away(&Path::new(DIR).join(&prepared));
    commit(&mut journal, &[1]).unwrap();
    assert!(!disk.names_in(Path::new(DIR)).contains(&prepared));
}

#[test]
fn a_segment_whose_file_was_removed_while_it_waits_is_sent_and_counted_as_in_memory() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    let id = commit(&mut journal, &[1, 2]).unwrap().segment;
    journal.seal(Lane::Disk, SPANS);
    disk.take_away(&Path::new(DIR).join(FileName { id, state: FileState::Waiting { rows: 2 } }.file()));
    journal.watch().unwrap();
    assert_eq!(journal.backlog().view().rows_in_memory, 2);
    // in doubt without a name to say so
    let mut segment = take(journal.backlog(), Order::Fair).unwrap();
    let Loaded::Whole(whole) = segment.load().unwrap() else { panic!("nothing of it is in doubt") };
    segment.mark_in_doubt(whole).unwrap();
    segment.put_back(std::time::Duration::ZERO, History::default());
    assert_eq!(journal.backlog().view().rows_in_memory, 2);
    assert_eq!(stored(&mut journal), BTreeMap::from([(1, 1), (2, 1)]));
    assert!(
        !disk.names_in(Path::new(DIR)).iter().any(|name| FileName::read(name).is_some()),
        "nothing is given a name again"
    );
}

#[test]
fn another_file_in_the_place_of_a_segment_is_left_alone() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    let id = commit(&mut journal, &[1]).unwrap().segment;
    journal.seal(Lane::Disk, SPANS);
    let path = Path::new(DIR).join(FileName { id, state: FileState::Waiting { rows: 1 } }.file());
    disk.put(&path, b"of somebody else");
    assert_eq!(stored(&mut journal), BTreeMap::from([(1, 1)]));
    assert_eq!(disk.bytes_of(&path), b"of somebody else");
}

#[test]
fn the_answer_to_whether_the_folder_is_there_costs_no_further_write() {
    let disk = SimDisk::default();
    let mut journal = open(&disk, options(1)).unwrap().journal;
    commit(&mut journal, &[1]).unwrap();
    let before = disk.calls().len();
    commit(&mut journal, &[2]).unwrap();
    assert_eq!(disk.calls()[before..], [Op::Append, Op::Sync]);
}

mod on_the_machine {
    use super::*;
    use crate::journal::MachineFolder;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn journal_in(dir: &Path) -> (Journal, Recovered) {
        let folder = Arc::new(MachineFolder::open(dir).unwrap());
        let options = Options { dir: dir.to_owned(), ..options(1) };
        Journal::open(options, folder, Metrics::new().unwrap(), &mut |_block| true).unwrap()
    }

    #[test]
    fn a_removed_folder_is_made_again_and_a_replaced_one_shuts_the_journal() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("journal");
        let (mut journal, _) = journal_in(&dir);
        commit(&mut journal, &[1]).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(gone(commit(&mut journal, &[2])), Gone::Folder);
        commit(&mut journal, &[2]).unwrap();

        // moved away, and another with segments put in its place
        let away = above.path().join("away");
        fs::rename(&dir, &away).unwrap();
        fs::create_dir(&dir).unwrap();
        let foreign = dir.join(FileName { id: SegmentId::new(9, 9), state: FileState::Waiting { rows: 1 } }.file());
        fs::write(&foreign, b"x").unwrap();
        assert_eq!(gone(commit(&mut journal, &[3])), Gone::Folder);
        assert_eq!(gone(commit(&mut journal, &[3])), Gone::Folder);
        assert!(MachineFolder::open(&dir).is_ok(), "whoever wants to use that one is not kept out");
        assert!(
            matches!(MachineFolder::open(&away), Err(OpenError::InUse(_))),
            "nobody else sends what waits in the old one"
        );
        fs::remove_dir_all(&dir).unwrap();
        fs::rename(&away, &dir).unwrap();
        commit(&mut journal, &[3]).unwrap();
        assert_eq!(stored(&mut journal), BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
    }

    #[test]
    fn a_second_process_is_refused_even_when_the_lock_file_was_removed() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("journal");
        let first = MachineFolder::open(&dir).unwrap();
        fs::remove_file(dir.join("lock")).unwrap();
        assert!(matches!(MachineFolder::open(&dir), Err(OpenError::InUse(_))));
        drop(first);
        let _second = MachineFolder::open(&dir).unwrap();
        // one of an earlier release locks the file alone
        let lock = fs::File::open(dir.join("lock")).unwrap();
        assert!(matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)));
    }

    #[test]
    fn folder_and_files_are_their_owners_alone_whatever_they_were() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("journal");
        fs::create_dir(&dir).unwrap();
        let (old, mode) = (dir.join("old"), |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777);
        fs::write(&old, b"prompts").unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o644)).unwrap();
        let (mut journal, _) = journal_in(&dir);
        let id = commit(&mut journal, &[1]).unwrap().segment;
        let open = dir.join(FileName { id, state: FileState::Open }.file());
        assert_eq!([mode(&dir), mode(&old), mode(&open)], [0o700, 0o600, 0o600]);
    }

    #[test]
    fn a_file_larger_than_any_segment_is_set_aside_unread() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("journal");
        fs::create_dir(&dir).unwrap();
        for (number, state) in
            (1..).zip([FileState::Open, FileState::Waiting { rows: 1 }, FileState::Stored { rows: 1 }])
        {
            let path = dir.join(FileName { id: SegmentId::new(1, number), state }.file());
            fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
        }
        let (mut journal, recovered) = journal_in(&dir);
        assert_eq!(recovered, Recovered::default());
        assert_eq!(journal.backlog().asides().counts, BTreeMap::from([(Reason::TooLarge, 3)]));
        commit(&mut journal, &[1]).unwrap();
    }

    #[test]
    fn links_and_pipes_with_the_names_of_segments_neither_stop_a_start_nor_are_followed() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("journal");
        fs::create_dir(&dir).unwrap();
        let outside = above.path().join("outside");
        fs::write(&outside, b"not ours").unwrap();
        let name = |number, state| dir.join(FileName { id: SegmentId::new(1, number), state }.file());
        let states = [FileState::Open, FileState::Waiting { rows: 1 }, FileState::Stored { rows: 1 }];
        for (number, state) in (1..).zip(states) {
            symlink(&outside, name(number, state)).unwrap();
            let pipe = name(number + 10, state);
            rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
            fs::create_dir(name(number + 20, state)).unwrap();
        }
        let (mut journal, recovered) = journal_in(&dir);
        assert_eq!(recovered, Recovered::default());
        commit(&mut journal, &[1]).unwrap();
        assert_eq!(stored(&mut journal), BTreeMap::from([(1, 1)]));
        assert_eq!(fs::read(&outside).unwrap(), b"not ours");
    }
}
