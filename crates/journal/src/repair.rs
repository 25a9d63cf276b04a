//! Facts to a decision: what an opening for writing does with what it found. The table is total; a
//! test walks every row.
//!
//! | sealed  | new holes | auto-repair | held by              | policy      | decision              |
//! |---------|-----------|-------------|----------------------|-------------|-----------------------|
//! | here    | any       | any         | any                  | any         | finish what it names  |
//! | elsewhere | any     | any         | any                  | any         | `Sealed`              |
//! | no      | any       | any         | alive, unknown       | if gone, never | `HeldBy`           |
//! | no      | any       | any         | gone                 | never       | `HeldBy`              |
//! | no      | yes       | off         | otherwise            |             | `NeedsRepair`         |
//! | no      | any       | on, or none | nobody               | any         | open: released        |
//! | no      | any       | on, or none | gone                 | if gone, always | open: crashed     |
//! | no      | any       | on, or none | alive, unknown       | always      | open: taken over      |
//!
//! Unless the owner before released soundly, what it left is settled again.

use crate::identity::Liveness;
use crate::options::Takeover;
use crate::report::OpenReason;

/// Whether the file ends with a seal, and for which path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    No,
    /// For the path that is being opened.
    Here,
    /// For another path: this is a hard link to it, or it was moved.
    Elsewhere,
}

/// Who holds the current generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// It was released.
    Nobody,
    /// An owner of which this is known.
    Somebody(Liveness),
}

/// What an opening found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) sealed: Sealed,
    pub(crate) new_holes: bool,
    pub(crate) auto_repair: bool,
    pub(crate) holder: Holder,
    pub(crate) policy: Takeover,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Open(OpenReason),
    FinishSeal,
    RefuseSealed,
    RefuseHeld,
    RefuseUnrepaired,
}

impl Facts {
    /// See the module's table.
    pub(crate) fn decide(self) -> Decision {
        match self.sealed {
            Sealed::Here => return Decision::FinishSeal,
            Sealed::Elsewhere => return Decision::RefuseSealed,
            Sealed::No => {}
        }
        let reason = match (self.holder, self.policy) {
            (Holder::Nobody, _) => OpenReason::Released,
            (Holder::Somebody(Liveness::Gone), Takeover::Always | Takeover::IfGone) => {
                OpenReason::Crashed
            }
            (Holder::Somebody(_), Takeover::Always) => OpenReason::TakenOver,
            (Holder::Somebody(_), _) => return Decision::RefuseHeld,
        };
        if self.new_holes && !self.auto_repair {
            return Decision::RefuseUnrepaired;
        }
        Decision::Open(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEALED: [Sealed; 3] = [Sealed::No, Sealed::Here, Sealed::Elsewhere];
    const HOLDERS: [Holder; 4] = [
        Holder::Nobody,
        Holder::Somebody(Liveness::Alive),
        Holder::Somebody(Liveness::Gone),
        Holder::Somebody(Liveness::Unknown),
    ];
    const POLICIES: [Takeover; 3] = [Takeover::Always, Takeover::IfGone, Takeover::Never];

    fn every_row() -> Vec<Facts> {
        let mut rows = Vec::new();
        for sealed in SEALED {
            for holder in HOLDERS {
                for policy in POLICIES {
                    for (new_holes, auto_repair) in
                        [(false, false), (false, true), (true, false), (true, true)]
                    {
                        rows.push(Facts { sealed, new_holes, auto_repair, holder, policy });
                    }
                }
            }
        }
        rows
    }

    #[test]
    fn the_table_is_total_and_as_it_is_written() {
        let rows = every_row();
        assert_eq!(rows.len(), 3 * 4 * 3 * 4);
        for facts in rows {
            let held =
                matches!(facts.holder, Holder::Somebody(Liveness::Alive | Liveness::Unknown));
            let gone = facts.holder == Holder::Somebody(Liveness::Gone);
            let expected = match facts.sealed {
                Sealed::Here => Decision::FinishSeal,
                Sealed::Elsewhere => Decision::RefuseSealed,
                Sealed::No if held && facts.policy != Takeover::Always => Decision::RefuseHeld,
                Sealed::No if gone && facts.policy == Takeover::Never => Decision::RefuseHeld,
                Sealed::No if facts.new_holes && !facts.auto_repair => Decision::RefuseUnrepaired,
                Sealed::No if held => Decision::Open(OpenReason::TakenOver),
                Sealed::No if gone => Decision::Open(OpenReason::Crashed),
                Sealed::No => Decision::Open(OpenReason::Released),
            };
            assert_eq!(facts.decide(), expected, "{facts:?}");
        }
    }

    #[test]
    fn only_always_takes_from_an_owner_that_may_be_alive() {
        for facts in every_row() {
            if facts.decide() == Decision::Open(OpenReason::TakenOver) {
                assert_eq!(facts.policy, Takeover::Always, "{facts:?}");
            }
        }
    }
}
