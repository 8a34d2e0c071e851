//! System calls that reach other processes and that Landlock has no word about.

use std::{collections::BTreeMap, env::consts::ARCH};

use nix::libc::{EPERM, SYS_prlimit64};
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// From now on `prlimit` is for one's own limits alone: with those of another process it could be ended.
pub(crate) fn leave_limits_of_others() -> Result<(), Error> {
    let other = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?;
    let rules = BTreeMap::from([(SYS_prlimit64, vec![SeccompRule::new(vec![other])?])]);
    let refused = SeccompAction::Errno(EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, ARCH.try_into()?)?;
    apply_filter(&BpfProgram::try_from(filter)?)
}
