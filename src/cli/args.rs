//! The command line: what can be said, with the words that `--help` shows.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What a command's end tells a script; as `grep` and `diff` do it.
const EXIT: &str = "Exit codes:
  0  well
  1  answered, and the answer is not a good one: a finding, a refused or unverified repair, a failed check
  2  not answered: bad input, an unusable configuration, or a source that does not answer";

/// The console an on-call engineer opens when billing breaks.
///
/// Without a subcommand it opens the console on the configured environment, read-only.
#[derive(Debug, Parser)]
#[command(name = "nightdesk", version, about, propagate_version = true, after_help = EXIT)]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub look: Look,
    #[command(subcommand)]
    pub command: Option<Subcommands>,
}

/// Which environment to work on.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The configuration file (TOML). Without one, environment variables such as DATABASE_URL and STRIPE_SECRET_KEY are read.
    #[arg(long, global = true, env = "NIGHTDESK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which [env.NAME] of the configuration; needed where it has several.
    #[arg(long, global = true, env = "NIGHTDESK_ENV", value_name = "NAME")]
    pub env: Option<String>,
}

/// How the console looks.
#[derive(Debug, Clone, Args)]
pub struct Look {
    /// Colours: by the terminal, none, or at most so many. NO_COLOR is obeyed.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Draw with ASCII characters only.
    #[arg(long, global = true)]
    pub ascii: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Never,
    #[value(name = "16")]
    Sixteen,
    #[value(name = "256")]
    Indexed,
    True,
}

#[derive(Debug, Subcommand)]
pub enum Subcommands {
    /// A whole system to practise on: Postgres, a Stripe simulator and a sample application, on this machine only.
    Sandbox(super::sandbox::SandboxArgs),
    /// Practise one incident on a sandbox of its own: against the clock, and with a report in the end.
    #[command(after_help = super::drill::EXIT)]
    Drill(super::drill::DrillArgs),
    /// Look up whatever an id, an e-mail address or a dashboard link names, and say how it stands.
    #[command(after_help = EXIT)]
    Find {
        /// An id of Stripe's or the product's, an e-mail address, or a dashboard link.
        id: String,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Which of Stripe's events have no effect in the database, by cause: the verdict comes from the rows, never from deliveries.
    #[command(after_help = EXIT)]
    Webhooks(super::webhooks::WebhooksArgs),
    /// Runbook 4: bring the missing effects of events about, and count effects, not answers.
    #[command(after_help = EXIT)]
    Replay(Replay),
    /// Compare Stripe's subscriptions with the database: of whoever changed lately, or of the whole account.
    #[command(after_help = EXIT)]
    Drift(Drift),
    /// Who holds the database's connections, who waits for whom, and whether a larger pool would help.
    #[command(after_help = EXIT)]
    Pool {
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Who is near a limit or has reached one, by tier and feature; and how much each tier uses.
    Quota(super::quota::QuotaArgs),
    /// Run a procedure without a screen, through the same gate and journal.
    #[command(subcommand)]
    Run(Procedures),
    /// Runs of procedures: list them, finish an interrupted one, or take one back.
    #[command(after_help = EXIT)]
    Runs {
        #[command(subcommand)]
        action: Option<RunsAction>,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// One line per source: does it answer, how fast, as whom.
    #[command(after_help = EXIT)]
    Status {
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Ask the webhook endpoint with forged events, and say what stands there. It changes nothing.
    #[command(after_help = EXIT)]
    Probe {
        /// On LIVE, go on without asking.
        #[arg(long)]
        yes: bool,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Check the configuration, reachability, permissions, the schema and the keys; each line with its fix.
    #[command(after_help = EXIT)]
    Check {
        /// Print the least SQL grants and Stripe permissions that the console needs.
        #[arg(long, conflicts_with = "json")]
        grants: bool,
        /// Print DDL that would make a question quick, with its size and its price, for the owner of the database; nothing is run.
        #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["json", "grants"])]
        ddl: Option<Ddl>,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// The journal of everything this operator did here: its newest records, or whether it is whole.
    #[command(after_help = EXIT, args_conflicts_with_subcommands = true)]
    Audit {
        #[command(subcommand)]
        action: Option<Audit>,
        /// So many of the newest records.
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        last: usize,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Create or update the shared store (schema `nightdesk`) with the admin connection.
    Migrate,
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
    /// Keep a sandbox's Postgres until standard input ends. Started by the sandbox itself.
    #[command(name = "__supervise-postgres", hide = true)]
    SupervisePostgres,
}

/// What there is DDL for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ddl {
    /// Who is near a limit.
    Quota,
}

#[derive(Debug, Args)]
pub struct Drift {
    /// Compare every subscription and every row, within the background's budget.
    #[arg(long, conflicts_with = "since")]
    pub full: bool,
    /// Compare whoever has an event since then: `90m`, `24h`, `7d`, or a time such as 2026-01-31T02:00:00Z.
    #[arg(long, value_name = "WHEN", default_value = "24h")]
    pub since: String,
    /// Only these classes; may be given more than once. An unknown one lists them.
    #[arg(long, value_name = "CLASS")]
    pub class: Vec<String>,
    /// Go on with the scan of the whole account that was interrupted last.
    #[arg(long, requires = "full")]
    pub resume: bool,
    /// Let this customer's drift of the one class be until a time: it is not shown before.
    #[arg(long, value_name = "CUS", requires_all = ["class", "until", "reason"])]
    pub accept: Option<String>,
    /// Until when it is accepted: `14d`, `2026-02-28`, or a time such as 2026-02-28T08:00:00Z.
    #[arg(long, value_name = "WHEN", requires = "accept")]
    pub until: Option<String>,
    /// Why it is accepted; goes into the journal.
    #[arg(long, value_name = "TEXT", requires = "accept")]
    pub reason: Option<String>,
    /// Name every subject with its whole ids; without it twenty of a class are named, masked.
    #[arg(long)]
    pub unmasked: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Procedures {
    /// Runbook 1: copy a customer's tier and period from Stripe to their row, linking it first where it is not.
    #[command(after_help = EXIT)]
    TierUpdate(TierUpdate),
    /// Runbook 2: empty a customer's counters, of one feature, of some, or of all that reset; stocks stay.
    #[command(after_help = EXIT)]
    QuotaReset(QuotaReset),
    /// Emergency 1: find out what stands at the webhook endpoint, bring it back, then every effect that is missing since.
    #[command(after_help = EXIT)]
    EndpointDown(EndpointDown),
    /// Emergency 2: end the sessions that leak, the first alone, then the rest; never a healthy one by itself.
    #[command(after_help = EXIT)]
    PoolExhausted(PoolExhausted),
    /// Copy Stripe's truth to the rows of many customers: the first alone, then the rest.
    #[command(after_help = EXIT)]
    DriftFix(DriftFix),
}

#[derive(Debug, Args)]
pub struct EndpointDown {
    /// Whether the endpoint may be probed, which on LIVE has to be said: send, or leave it alone.
    #[arg(long, value_name = "WHICH", value_parser = ["send", "leave"])]
    pub probe: Option<String>,
    /// What you did by hand, where that is what comes next; goes into the journal.
    #[arg(long, value_name = "TEXT", conflicts_with = "dry_run")]
    pub attest: Option<String>,
    #[command(flatten)]
    pub how: How,
}

#[derive(Debug, Args)]
pub struct PoolExhausted {
    /// A session to end, by its process id; may be given more than once. Without it, those that leak.
    #[arg(long, value_name = "PID")]
    pub pid: Vec<i32>,
    /// What you changed, so that it does not come back: then the application is to be restarted, which is a step of its own.
    #[arg(long, value_name = "WHICH", value_parser = ["none", "timeout", "limit", "pool"], conflicts_with = "watch")]
    pub setting: Option<String>,
    /// Stay for the ten minutes in which it shows whether it lasts; without it the command ends with the first good look.
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub how: How,
}

#[derive(Debug, Args)]
pub struct DriftFix {
    /// A Stripe customer id; may be given more than once.
    #[arg(long, value_name = "CUS", required = true)]
    pub customer: Vec<String>,
    #[command(flatten)]
    pub how: How,
}

#[derive(Debug, Args)]
pub struct QuotaReset {
    /// The customer: a profile id, an e-mail address or a Stripe id.
    #[arg(value_name = "WHO")]
    pub who: String,
    /// A feature to reset; several with commas, or given more than once; `all` for all that reset.
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    pub feature: Vec<String>,
    /// The profile, where several fit.
    #[arg(long, value_name = "PROFILE")]
    pub subject: Option<String>,
    #[command(flatten)]
    pub how: How,
}

#[derive(Debug, Args)]
pub struct TierUpdate {
    /// The customer: a Stripe id, a profile id or an e-mail address.
    #[arg(long, value_name = "ID")]
    pub customer: String,
    /// The profile to repair, where the evidence leaves the choice.
    #[arg(long, value_name = "PROFILE")]
    pub subject: Option<String>,
    /// The subscription that counts, where several are live.
    #[arg(long, value_name = "SUB")]
    pub subscription: Option<String>,
    /// The tier that counts, where two items map to different ones.
    #[arg(long, value_name = "TIER")]
    pub tier: Option<String>,
    #[command(flatten)]
    pub how: How,
}

#[derive(Debug, Args)]
pub struct Replay {
    /// These events, by id (evt_…).
    #[arg(value_name = "EVENT")]
    pub events: Vec<String>,
    /// Every event since then whose effect is missing: 45m, 2h, 3d, or a time such as 2026-11-22T02:41:00Z. With --cause, 24h where it is
    /// left out.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// None that happened after then; in the same words, beside --since or --cause.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Every event without its effect since the last ones that have it.
    #[arg(long)]
    pub since_last_applied: bool,
    /// Only those that are missing for this cause, such as bad_signature.
    #[arg(long, value_name = "CAUSE")]
    pub cause: Option<String>,
    #[command(flatten)]
    pub how: How,
}

/// How a procedure is run without a screen.
#[derive(Debug, Clone, Args)]
pub struct How {
    /// Show the plan and stop: nothing is changed; only a probe, where the plan rests on one, is sent and journaled.
    #[arg(long)]
    pub dry_run: bool,
    /// Show the evidence one by one, and the exact statements and requests of the first acts.
    #[arg(long)]
    pub explain: bool,
    /// Confirm the plan without being asked. Only for what one key confirms on screen.
    #[arg(long)]
    pub yes: bool,
    /// Confirm a plan that asks for a typed text; its dry run shows which.
    #[arg(long, value_name = "TEXT", conflicts_with = "yes")]
    pub confirm: Option<String>,
    /// Why writes are turned on; goes into the journal.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub reason: Option<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum RunsAction {
    /// Finish an interrupted run: it looks first, and repeats nothing that may have happened.
    #[command(after_help = EXIT)]
    Resume {
        /// The run, by the end of its id as lists show it.
        run: String,
        /// What you changed after sessions were ended, where the run asks: none, timeout, limit or pool.
        #[arg(long, value_name = "WHICH")]
        setting: Option<String>,
        /// What you did by hand, where the run waits for that; goes into the journal.
        #[arg(long, value_name = "TEXT")]
        attest: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Give an unfinished run up for good: nothing more of it is sent, and it stands in the way of no other.
    #[command(after_help = EXIT)]
    Abandon {
        /// The run, by the end of its id as lists show it.
        run: String,
        /// Why; goes into the journal.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// What became of its last writes is not known, and you have seen to it by hand.
        #[arg(long)]
        settled_by_hand: bool,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Take a finished run back: the fields it changed, if the row is still as it left it.
    #[command(after_help = EXIT)]
    Undo {
        /// The run, by the end of its id as lists show it.
        run: String,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Recompute the chain of the local journal, and compare it with the shared store where there is one.
    #[command(after_help = EXIT)]
    Verify {
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}
