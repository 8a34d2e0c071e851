//! What is kept on a disk whose power is cut, that is full, or that is broken.
//!
//! These need a file system of their own; `tests/README.md` says where that can be.

mod full;
mod power_cut;
