//! Events by their effect: the rules, the survey over a simulated world, seven healthy days, and the command on a served system.

mod clock;
mod cost;
mod healthy;
mod log;
mod overtaken;
mod rules;
mod same;
mod secret;
mod served;
mod silence;
mod survey;
