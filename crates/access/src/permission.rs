//! What each role may do. The table of paths in `api::doors` names one permission for each path.

use domain::principal::Role;

/// One thing that may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Ask agents and models, and see their names.
    Ask,
    /// Give feedback on answers.
    GiveFeedback,
    /// Read finished turns of one's tenant, and the feedback on them.
    ReadTurns,
    /// Read the keys of one's tenant, as far as they are kept.
    ReadKeys,
    /// Make, change and revoke keys of one's tenant.
    WriteKeys,
    /// Read what one's tenant spent, and its budgets.
    ReadCosts,
    /// Change limits and budgets of one's tenant.
    WriteBudgets,
    /// See how the server is: every part of it, its metrics, its breakers.
    ReadServer,
    /// Change how the server works for everyone.
    OperateServer,
    /// Do all this in every tenant.
    EveryTenant,
}

use Permission::{
    Ask, EveryTenant, GiveFeedback, OperateServer, ReadCosts, ReadKeys, ReadServer, ReadTurns, WriteBudgets,
    WriteKeys,
};

impl Permission {
    /// All.
    pub const ALL: [Self; 10] = [
        Ask,
        GiveFeedback,
        ReadTurns,
        ReadKeys,
        WriteKeys,
        ReadCosts,
        WriteBudgets,
        ReadServer,
        OperateServer,
        EveryTenant,
    ];

    /// What it lets do, for a sentence that says that it is missing.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Ask => "ask agents and models",
            GiveFeedback => "give feedback",
            ReadTurns => "read finished turns",
            ReadKeys => "read keys",
            WriteKeys => "make, change and revoke keys",
            ReadCosts => "read costs and budgets",
            WriteBudgets => "change limits and budgets",
            ReadServer => "see how the server is",
            OperateServer => "change how the server works",
            EveryTenant => "act in every tenant",
        }
    }
}

/// What a role may do.
#[must_use]
pub fn permissions(role: Role) -> &'static [Permission] {
    match role {
        Role::Owner => &Permission::ALL,
        Role::Operator => &[ReadServer, OperateServer],
        Role::Admin => &[Ask, GiveFeedback, ReadTurns, ReadKeys, WriteKeys, ReadCosts, WriteBudgets],
        Role::Auditor => &[ReadTurns, ReadKeys, ReadCosts],
        Role::App => &[Ask, GiveFeedback],
    }
}

/// Whether a role may do it.
#[must_use]
pub fn may(role: Role, permission: Permission) -> bool {
    permissions(role).contains(&permission)
}

/// Whether a principal with the role `minter` may hand out `minted`: it may do nothing that the minter may not.
#[must_use]
pub fn may_mint(minter: Role, minted: Role) -> bool {
    may(minter, WriteKeys) && permissions(minted).iter().all(|permission| may(minter, *permission))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_mints_hands_out_no_more_than_it_has() {
        use Role::{Admin, App, Auditor, Operator, Owner};
        for (minter, want) in [
            (Owner, &[Owner, Operator, Admin, Auditor, App][..]),
            (Operator, &[]),
            (Admin, &[Admin, Auditor, App]),
            (Auditor, &[]),
            (App, &[]),
        ] {
            let found: Vec<Role> = Role::ALL.into_iter().filter(|minted| may_mint(minter, *minted)).collect();
            assert_eq!(found, want, "{minter}");
        }
    }

    #[test]
    fn only_owners_reach_beyond_their_tenant() {
        for role in Role::ALL {
            assert_eq!(may(role, EveryTenant), role == Role::Owner, "{role}");
        }
    }
}
