//! A run of a procedure: its inputs, its plan, its steps. A run is what its journal says, so it survives the process.

use super::command::{Command, Outcome};
use crate::domain::At;
use crate::domain::facts::Handle;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::policy::Tier;
use crate::domain::row::{Change, Counter, Image};
use crate::domain::sessions::{SessionId, State};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What the operator put in: the handle, and the decisions made on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// `None` where the run is about many: then `selection` says which.
    #[serde(default)]
    pub handle: Option<Handle>,
    /// The profile chosen where the evidence did not choose by itself.
    pub subject: Option<SubjectKey>,
    /// The subscription chosen where several are live.
    pub subscription: Option<StripeId>,
    /// The tier chosen where two items map to different ones.
    pub tier: Option<String>,
    /// Which events or customers, where it is about many.
    #[serde(default)]
    pub selection: Option<Selection>,
    /// Nothing that Stripe created after this belongs to the run: fixed when its plan is confirmed, so that what arrives meanwhile
    /// does not change it.
    #[serde(default)]
    pub until: Option<At>,
    /// What effects are given to come here, in seconds, as far as that was learned; `None`: the least there is.
    #[serde(default)]
    pub allowance_seconds: Option<u32>,
    /// What the operator attested to, by step.
    #[serde(default)]
    pub attested: BTreeMap<String, String>,
    /// What is to be told to whom, where the run calls somebody.
    #[serde(default)]
    pub message: Option<Message>,
    /// Which features' counters are reset; `None`: still to be chosen.
    #[serde(default)]
    pub features: Option<Features>,
    /// What those counters held when their reset was confirmed: a counter that holds less has been reset, whoever has counted since.
    #[serde(default)]
    pub counters: Vec<Counter>,
    /// When the run did something last, or was told of it. The engine tells it to the plan; it is no choice, and is not kept.
    #[serde(skip)]
    pub acted: Option<At>,
    /// Whether its configured command was run. As above: told, not kept.
    #[serde(skip)]
    pub ran: Ran,
    /// How many sessions it ended: answered for, and gone. As above: told, not kept.
    #[serde(skip)]
    pub ended: usize,
}

/// What is known of a configured command that a run was to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ran {
    /// It was not begun.
    #[default]
    No,
    /// It was begun, and nobody knows how far it came: it failed, took too long, or nobody was left to hear its end.
    Unknown,
    /// It said that it succeeded.
    Done,
}

/// A message to somebody who can help. It names customers by their ids, and no person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The kind of trouble, as the list of contacts has it.
    pub issue: String,
    pub to: String,
    pub text: String,
}

/// Which features of a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Features {
    /// Every one that resets.
    All,
    /// These.
    These(Vec<String>),
}

/// Which events, or whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// These events.
    Events(Vec<StripeId>),
    /// Every event of this time whose effect is missing.
    Window { from: At, until: Option<At> },
    /// Every event without its effect since the last one that has it.
    SinceLastApplied,
    /// These customers, whatever events there are.
    Customers(Vec<StripeId>),
    /// These sessions of the database, each as it was shown. `chosen`: by the operator, one by one.
    Sessions { these: Vec<ShownSession>, chosen: bool },
}

/// A session as it was when it was chosen: what has moved on since is another matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownSession {
    pub session: SessionId,
    pub state: State,
    /// Since when it has been in that state, by the server's clock.
    pub since: At,
    /// For how long it had been when it was shown, in milliseconds.
    pub at_least_ms: u64,
    /// Whose it is: empty where it names no application.
    pub application: String,
    pub role: String,
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepKind {
    Check,
    Decide,
    Act,
    Verify,
    Wait,
    Manual,
    Note,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepState {
    Pending,
    Running,
    Passed,
    Failed(String),
    Skipped(String),
    /// Sent, and nobody knows: a reconciling read comes next.
    Unknown(String),
}

/// One step. Acts carry their command, what is expected of it and how to take it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Stable within its procedure: `apply`, `row`, `entitlement`.
    pub id: String,
    pub kind: StepKind,
    /// A word or two for the line of steps.
    pub title: String,
    /// What it does or found, for people.
    pub say: String,
    pub state: StepState,
    /// Only in an act.
    pub command: Option<Command>,
    /// The command that takes it back, where there is one.
    pub undo: Option<Command>,
    /// Whose it is, in a plan about several. No two acts of one subject are ever under way at once.
    #[serde(default)]
    pub subject: Option<SubjectKey>,
    /// What has to be read afterwards for the act to have had its effect. Only in acts of a plan with a pace.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// The id of the act before this one: this one is performed only where that one did not bring its effect.
    #[serde(default)]
    pub instead_of: Option<String>,
    /// Its subject's row as the plan rests on it. Only in acts of a plan with a pace that compare nothing themselves: each begins only right
    /// after the row was seen to be still so.
    #[serde(default)]
    pub shown: Option<Image>,
}

/// An effect that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// The subject's row holds these values.
    Row { subject: SubjectKey, image: Image },
    /// The session does no longer what it has done since then: it is gone, or has moved on by itself.
    Released { session: SessionId, since: At },
    /// These wait for nobody any more. Of a step that is proven by what the others have done.
    Freed { sessions: Vec<SessionId> },
}

/// How many acts are performed: some first, the rest only if those had their effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How many go first, alone.
    pub canary: usize,
    /// At most so many acts begin in a second.
    pub per_second: u32,
    /// Stops when more than this share of the acts so far came to nothing, in percent.
    pub stop_percent: u32,
    /// How long the effect of an act may take to show, in seconds: what has none by then came to nothing.
    pub patience_seconds: u32,
}

/// A choice that only the operator can make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// `subject`, `subscription`, `tier`, `feature`.
    pub id: String,
    pub question: String,
    pub options: Vec<Choice>,
}

impl Decision {
    /// Whether more than one option may be taken at once; `all` stands for itself.
    #[must_use]
    pub fn takes_several(&self) -> bool {
        self.id == "feature"
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub value: String,
    pub say: String,
    /// Evidence and confidence.
    pub evidence: String,
}

/// The plan: what remains to be done, for review, dry run, audit and tests alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// One line: `Copy five fields from Stripe to the row`.
    pub summary: String,
    /// `None`: several subjects. Then no second run of the same procedure is open in this environment.
    pub subject: Option<SubjectKey>,
    /// Whom it is about, masked, for the title.
    pub who: String,
    /// The blast radius: customers, rows, money, calls.
    pub blast: String,
    /// The field diff, where the plan is one.
    pub diff: Vec<Change>,
    /// What was left alone and why; what was checked.
    pub notes: Vec<String>,
    /// What others may still do of themselves when all of it is done: a sentence beside the result.
    #[serde(default)]
    pub afterwards: Option<String>,
    pub evidence: Vec<String>,
    pub steps: Vec<Step>,
    /// The exact SQL and HTTP, for the evidence panel.
    pub machine: Vec<String>,
    /// What the operator must type; `None` where one key confirms.
    pub typed: Option<String>,
    /// Several acts, one after the other; `None`: the plan has one act.
    #[serde(default)]
    pub pace: Option<Pace>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Nothing remains to be done: it is right already.
    AlreadyRight(String),
    /// Only the operator can decide.
    Decide(Decision),
    /// A fact is missing or forbids it.
    Because(String),
}

/// One attempt at a step: which run, which step, which try. Its key makes a repeated send harmless.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    pub run: Uuid,
    pub step: String,
    /// Grows only after the previous try is journaled as definitely not done.
    pub attempt: u32,
}

/// A command to perform, with all that the gate and the journal ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Perform {
    pub attempt: Attempt,
    pub command: Command,
    /// What takes it back: journaled with the intent, so that a run can be undone after its process has died.
    pub undo: Option<Command>,
    /// The plan that holds it was confirmed, and at this time found to be the same by facts read after that: however long the reading took.
    pub confirmed_at: At,
}

/// What a run that takes another one back undoes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undoing {
    pub run: Uuid,
    /// The inverse of what that run did, as journaled with it.
    pub command: Command,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Performed {
    pub attempt: Attempt,
    pub outcome: Outcome,
    /// Where the outcome could not be journaled after the effect, the reason.
    pub unrecorded: Option<String>,
}

/// `nd-` and 40 hex digits of SHA-256 over run, step and try.
#[must_use]
pub fn idempotency_key(attempt: &Attempt) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}", attempt.run, attempt.step, attempt.attempt));
    format!("nd-{}", &hex::encode(digest)[..40])
}

/// The id of an act's step: its kind and a fingerprint of what it is about. Step ids stand in the journal's chain, from which nothing can be
/// removed; so they name no object of a person's. The same object has the same id in every plan, or what was sent would be sent again.
#[must_use]
pub fn step_id(kind: &str, object: &str) -> String {
    format!("{kind}-{}", &hex::encode(Sha256::digest(object))[..12])
}

/// The step as people call it: without what tells it apart from others of its kind.
#[must_use]
pub fn step_title(id: &str) -> &str {
    let told_apart = |end: &str| end.len() == 12 && end.bytes().all(|b| b.is_ascii_hexdigit());
    id.rsplit_once('-').filter(|(_, end)| told_apart(end)).map_or(id, |(kind, _)| kind)
}

/// A run as people name it: the last four hex digits of its UUID, whose beginning is only the time.
#[must_use]
pub fn short(run: Uuid) -> String {
    let text = run.simple().to_string();
    text[text.len() - 4..].to_string()
}

impl Plan {
    /// The commands that would be performed, in order.
    #[must_use]
    pub fn commands(&self) -> Vec<&Command> {
        self.steps
            .iter()
            .filter(|s| !matches!(s.state, StepState::Passed | StepState::Skipped(_)))
            .filter_map(|s| s.command.as_ref())
            .collect()
    }

    /// The highest tier among its commands; several first acts together are a tier of their own.
    #[must_use]
    pub fn tier(&self) -> Tier {
        let highest = self.commands().iter().map(|c| c.tier()).max().unwrap_or(Tier::T0);
        if self.first_acts().count() > 1 { highest.max(Tier::T2) } else { highest }
    }

    /// What the operator types to confirm it, where its tier asks for that: the count of its first acts, and for a count of one the
    /// last four characters of its subject, of the event, or of the session's process id.
    #[must_use]
    pub fn text_to_type(&self) -> Option<String> {
        if self.tier() < Tier::T2 {
            return None;
        }
        let mut acts = self.first_acts();
        let first = acts.next()?;
        let more = acts.count();
        let name = match (&first.command, &first.subject) {
            (Some(Command::EndSession { session, .. }), _) => session.pid.to_string(),
            (_, Some(subject)) => subject.to_string(),
            _ => first.id.clone(),
        };
        let tail = name.chars().count().saturating_sub(4);
        Some(if more > 0 { (more + 1).to_string() } else { name.chars().skip(tail).collect() })
    }

    /// The step that is the operator's own to do, where that comes before every act that remains.
    #[must_use]
    pub fn next_manual(&self) -> Option<&Step> {
        let open = |s: &&Step| !matches!(s.state, StepState::Passed | StepState::Skipped(_));
        self.steps.iter().filter(open).find(|s| s.command.is_some() || s.kind == StepKind::Manual).filter(|s| s.kind == StepKind::Manual)
    }

    /// The step that passes by itself, where nothing but that remains.
    #[must_use]
    pub fn waits(&self) -> Option<&Step> {
        let open = |s: &&Step| !matches!(s.state, StepState::Passed | StepState::Skipped(_));
        let mut left =
            self.steps.iter().filter(open).filter(|s| s.command.is_some() || matches!(s.kind, StepKind::Manual | StepKind::Wait));
        left.next().filter(|s| s.kind == StepKind::Wait)
    }

    /// What is counted of its acts.
    #[must_use]
    pub fn counted(&self) -> &'static str {
        if self.ends_sessions() { "sessions let go" } else { "effects applied" }
    }

    /// Its acts end sessions of the database.
    #[must_use]
    pub fn ends_sessions(&self) -> bool {
        self.steps.iter().find_map(|s| s.command.as_ref()).is_some_and(|c| matches!(c, Command::EndSession { .. }))
    }

    /// The acts that remain and wait for no other act to fail.
    pub fn first_acts(&self) -> impl Iterator<Item = &Step> {
        self.steps
            .iter()
            .filter(|s| s.command.is_some() && s.instead_of.is_none() && !matches!(s.state, StepState::Passed | StepState::Skipped(_)))
    }

    /// A fingerprint of the commands: a new confirmation is due only when this changes.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(&self.commands()).expect("invariant: commands are plain data");
        hex::encode(Sha256::digest(text))
    }
}

impl Step {
    /// A step that is still to come, and carries no command.
    #[must_use]
    pub fn new(id: &str, kind: StepKind, title: &str, say: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind,
            title: title.into(),
            say: say.into(),
            state: StepState::Pending,
            command: None,
            undo: None,
            subject: None,
            expect: None,
            instead_of: None,
            shown: None,
        }
    }

    #[must_use]
    pub fn in_state(self, state: StepState) -> Self {
        Self { state, ..self }
    }
}

impl Features {
    /// From `all`, or names with commas between them.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut names: Vec<String> = text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(String::from).collect();
        names.sort();
        names.dedup();
        if names.is_empty() || names == ["all"] { Features::All } else { Features::These(names) }
    }
}

impl Inputs {
    #[must_use]
    pub fn of(handle: Handle) -> Self {
        Self { handle: Some(handle), ..Self::default() }
    }

    /// The inputs of a run about many.
    #[must_use]
    pub fn about(selection: Selection) -> Self {
        Self { selection: Some(selection), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_journaled_before_runs_were_about_many_still_read() {
        let old = r#"{"handle":{"Email":"j@acme.com"},"subject":null,"subscription":"sub_1","tier":null}"#;
        let inputs: Inputs = serde_json::from_str(old).expect("the old form");
        assert_eq!(inputs.handle, Some(Handle::Email("j@acme.com".into())));
        assert_eq!(inputs.selection, None);
    }

    #[test]
    fn a_step_s_id_is_stable_and_names_nobody() {
        let id = step_id("apply", "sub_1PZqq8N3fu");
        assert_eq!((id.len(), &id[..6]), (18, "apply-"));
        assert_eq!(id, step_id("apply", "sub_1PZqq8N3fu"));
        assert_ne!(id, step_id("apply", "sub_1PZqq8N3fv"));
        assert_eq!((step_title(&id), step_title("probe-again"), step_title("row")), ("apply", "probe-again", "row"));
    }

    #[test]
    fn a_key_names_its_attempt_and_nothing_else() {
        let a = Attempt { run: Uuid::nil(), step: "apply".into(), attempt: 1 };
        let key = idempotency_key(&a);
        assert_eq!((key.len(), &key[..3]), (43, "nd-"));
        assert_eq!(key, idempotency_key(&a.clone()));
        assert_ne!(key, idempotency_key(&Attempt { attempt: 2, ..a }));
    }
}
