//! The journal as a whole, on disks that fail.
