//! The rules that the kernel keeps: Landlock.

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};

use crate::{Gap, files::Allowed};

/// What is asked for; of an older kernel, what it has of this.
const ASKED: ABI = ABI::V7;

/// Allows this and nothing else from now on, as far as the kernel can.
pub(crate) fn restrict(allowed: &Allowed) -> Result<Option<Gap>, RulesetError> {
    let all = AccessFs::from_all(ASKED);
    let read = AccessFs::from_read(ASKED);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(ASKED))?
        .create()?
        // Programs look for their parts by listing folders; a name is no secret.
        .add_rules(path_beneath_rules(["/"], AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(&allowed.readable, read))?
        .add_rules(path_beneath_rules(&allowed.writable, all))?
        .restrict_self()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V6 => None,
        LandlockStatus::Available { .. } => Some(Gap::Signals),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => Some(Gap::Landlock),
    })
}
