//! How many connections an ordinary role can get, and what else limits it.

use super::Label;
use serde::{Deserialize, Serialize};

/// The server's slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub max_connections: u32,
    /// `superuser_reserved_connections`.
    pub superuser_reserved: u32,
    /// `reserved_connections`, since 16: for roles with `pg_use_reserved_connections`.
    pub reserved: u32,
    /// Slots that are taken, whoever has them.
    pub used: u32,
    /// Limits of roles and databases of their own, where they have one.
    pub limits: Vec<Limit>,
}

/// A limit of a role's or a database's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub of: LimitOf,
    pub name: Label,
    pub limit: u32,
    pub used: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitOf {
    Role,
    Database,
}

impl Room {
    /// What an ordinary role can get of all slots.
    #[must_use]
    pub fn usable(&self) -> u32 {
        self.max_connections.saturating_sub(self.superuser_reserved).saturating_sub(self.reserved)
    }

    /// How many more an ordinary role can get now.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.usable().saturating_sub(self.used)
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.max_connections > 0 && self.free() == 0
    }

    /// Nine of ten slots are taken.
    #[must_use]
    pub fn is_tight(&self) -> bool {
        self.max_connections > 0 && u64::from(self.used) * 10 >= u64::from(self.usable()) * 9
    }

    /// Roles and databases that are at a limit of their own.
    pub fn at_limit(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter().filter(|l| l.used >= l.limit)
    }
}
