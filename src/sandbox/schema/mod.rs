//! The sample application's database: its shapes, its names, how it is made and filled; runs no application.

mod copy;
mod keys;
mod load;
mod names;
pub mod roles;

use clap::ValueEnum;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use super::population::{Interval, PRICE_ENT_MONTH, PRICE_ENT_YEAR, PRICE_PRO_MONTH, PRICE_PRO_YEAR, Population};
use names::{RENAMED, USUAL};

pub use load::tier_word;
pub use names::Names;

/// The features of the product, and per tier (FREE, PRO, ENTERPRISE) how much of each: -1 is unlimited, 0 is not in the plan.
pub const LIMITS: [(&str, [i32; 3]); 4] =
    [("searches", [5, 100, -1]), ("exports", [2, 50, -1]), ("seats", [1, 5, 50]), ("api_calls", [0, 10_000, -1])];

/// The tiers, in the order of [`LIMITS`].
pub const TIERS: [&str; 3] = ["FREE", "PRO", "ENTERPRISE"];

/// A stock: it counts what is there and knows no period.
pub const STOCK: &str = "seats";

/// How the e-mail and the name of a profile are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum Profiles {
    /// In one document.
    #[default]
    Jsonb,
    /// In columns of their own.
    Plain,
}

/// The type of all times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum Timestamps {
    /// Without a time zone, holding UTC.
    #[default]
    Naive,
    /// With a time zone.
    Tz,
}

/// The words of the billing interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum Words {
    /// Stripe's: month, year.
    #[default]
    Month,
    /// monthly, yearly.
    Monthly,
}

/// What tables and columns are called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum Naming {
    /// profiles, subscriptions, `rate_limits` …, with uuid keys.
    #[default]
    Usual,
    /// Other names throughout, and bigint keys.
    Renamed,
}

/// One of the shapes the database can have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    pub profiles: Profiles,
    pub timestamps: Timestamps,
    pub interval: Words,
    pub naming: Naming,
}

impl Shape {
    /// Every combination of the options.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..16_u8).map(|bits| Self {
            profiles: if bits & 1 == 0 { Profiles::Jsonb } else { Profiles::Plain },
            timestamps: if bits & 2 == 0 { Timestamps::Naive } else { Timestamps::Tz },
            interval: if bits & 4 == 0 { Words::Month } else { Words::Monthly },
            naming: if bits & 8 == 0 { Naming::Usual } else { Naming::Renamed },
        })
    }

    /// What tables and columns are called.
    #[must_use]
    pub fn names(self) -> &'static Names {
        match self.naming {
            Naming::Usual => &USUAL,
            Naming::Renamed => &RENAMED,
        }
    }

    /// The database's word for an interval.
    #[must_use]
    pub fn interval_word(self, interval: Interval) -> &'static str {
        match (self.interval, interval) {
            (Words::Month, interval) => interval.word(),
            (Words::Monthly, Interval::Month) => "monthly",
            (Words::Monthly, Interval::Year) => "yearly",
        }
    }

    /// The expression for the present in this database's type of time.
    #[must_use]
    pub fn now(self) -> &'static str {
        match self.timestamps {
            Timestamps::Naive => "(now() AT TIME ZONE 'UTC')",
            Timestamps::Tz => "now()",
        }
    }

    /// The expression that turns a parameter of Unix seconds (`float8`) into this database's type of time.
    #[must_use]
    pub fn time(self, parameter: &str) -> String {
        match self.timestamps {
            Timestamps::Naive => format!("(to_timestamp({parameter}::float8) AT TIME ZONE 'UTC')"),
            Timestamps::Tz => format!("to_timestamp({parameter}::float8)"),
        }
    }

    /// The console's map for the renamed schema (TOML, the `[schema.*]` tables); nothing where the usual names need none.
    #[must_use]
    pub fn console_map(self) -> Option<String> {
        let (email, name) = match self.profiles {
            Profiles::Jsonb => (r#"{ column = "doc", json = ["contact", "email"] }"#, r#"{ column = "doc", json = "name" }"#),
            Profiles::Plain => (r#""contact_email""#, r#""display_name""#),
        };
        let map = include_str!("../../../assets/sandbox/renamed.toml");
        (self.naming == Naming::Renamed).then(|| map.replace("@EMAIL@", email).replace("@NAME@", name))
    }

    fn fill(self, template: &str, population: &Population) -> String {
        let names = self.names();
        let profile = match (self.naming, self.profiles) {
            (Naming::Usual, Profiles::Jsonb) => "data jsonb NOT NULL",
            (Naming::Usual, Profiles::Plain) => "email varchar(320), name varchar(200)",
            (Naming::Renamed, Profiles::Jsonb) => "doc jsonb NOT NULL",
            (Naming::Renamed, Profiles::Plain) => "contact_email text, display_name text",
        };
        let kind = match self.timestamps {
            Timestamps::Naive => "timestamp",
            Timestamps::Tz => "timestamptz",
        };
        [
            ("@PROFILE@", profile),
            ("@TS@", kind),
            ("@NOW@", self.now()),
            ("@MONTH@", self.interval_word(Interval::Month)),
            ("@YEAR@", self.interval_word(Interval::Year)),
            ("@KEY@", names.key),
            ("@ID@", names.owner_elsewhere),
            ("@PROFILES@", names.profiles),
            ("@BORDER@", &population.born().format("%Y-%m-01 00:00:00+00").to_string()),
        ]
        .iter()
        .fold(template.to_string(), |text, (marker, value)| text.replace(marker, value))
    }
}

/// The tier and the interval that a price of the sandbox's buys.
#[must_use]
pub fn tier_of_price(price: &str) -> Option<(&'static str, Interval)> {
    match price {
        PRICE_PRO_MONTH => Some((TIERS[1], Interval::Month)),
        PRICE_PRO_YEAR => Some((TIERS[1], Interval::Year)),
        PRICE_ENT_MONTH => Some((TIERS[2], Interval::Month)),
        PRICE_ENT_YEAR => Some((TIERS[2], Interval::Year)),
        _ => None,
    }
}

/// Makes and fills the tables in an empty database. `options` must name a superuser; the tables belong to the role `app`.
///
/// # Errors
/// The database's.
pub async fn create(options: &PgConnectOptions, shape: Shape, population: &Population) -> Result<(), sqlx::Error> {
    let mut connection = options.connect().await?;
    let contracts = match shape.naming {
        Naming::Usual => include_str!("../../../assets/sandbox/usual.sql"),
        Naming::Renamed => include_str!("../../../assets/sandbox/renamed.sql"),
    };
    let sections = [contracts, include_str!("../../../assets/sandbox/others.sql")].map(|template| {
        let text = shape.fill(template, population);
        let (tables, keys) = text.split_once("-- @@ after the data").expect("invariant: every template has both parts");
        (tables.to_string(), keys.to_string())
    });
    run(&mut connection, roles::PREPARE_DATABASE.to_string()).await?;
    for (tables, _) in &sections {
        run(&mut connection, tables.clone()).await?;
    }
    let mut workers = [options.connect().await?, options.connect().await?];
    load::load(&mut workers, shape, population).await?;
    // Keys and checks over rows that are there already cost a fraction of keeping them row by row.
    let keys: String = sections.into_iter().map(|(_, keys)| keys).collect();
    keys::add(&mut connection, &mut workers, &keys).await?;
    for worker in workers {
        worker.close().await?;
    }
    connection.close().await
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    // The sandbox's own templates, filled with its own constants.
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
