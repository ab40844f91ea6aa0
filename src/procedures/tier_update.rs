//! Procedure 1, manual tier update.

use super::{Book, Procedure};
use crate::domain::At;
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::Query;
use crate::protocol::run::{Inputs, Plan, Refusal};

pub struct TierUpdate;

impl Procedure for TierUpdate {
    fn id(&self) -> &'static str {
        "tier-update"
    }
    fn title(&self) -> &'static str {
        "Manual tier update"
    }
    fn section(&self) -> &'static str {
        "1"
    }
    fn words(&self) -> &'static [&'static str] {
        &[
            "tier",
            "manual tier update",
            "paid but still free",
            "upgrade",
            "downgrade",
            "webhook failed",
            "link",
            "placeholder",
            "repair row",
            "sync",
        ]
    }
    fn book(&self) -> Book {
        Book { sentence: "", differs: &[] }
    }
    fn reads(&self, _: &Inputs, _: &Answers) -> Vec<Query> {
        todo!()
    }
    fn plan(&self, _: &Inputs, _: &Answers, _: &Environment, _: At) -> Result<Plan, Refusal> {
        todo!()
    }
    fn pin(&self, _: &Inputs, _: &Answers) -> Inputs {
        todo!()
    }
}
