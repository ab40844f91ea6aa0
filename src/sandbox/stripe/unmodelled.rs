//! What the real endpoints take and this Stripe does not model: refused in words of its own, which say so.

use super::failure::Failure;
use super::route::Route;

/// A line per endpoint: method, path below `/v1/`, names. A contract test keeps it complete.
const LIST: &str = include_str!("../../../assets/sandbox/unmodelled.txt");

/// An unknown parameter's refusal, or what to say where the real API knows it.
pub fn explain(route: &Route, failure: Failure) -> Failure {
    let name = failure.param.as_deref().unwrap_or_default();
    if failure.code.as_deref() != Some("parameter_unknown") || !lists(route, name.split('[').next().unwrap_or_default()) {
        return failure;
    }
    Failure::new(400, format!("The sandbox's Stripe does not model the parameter {name}, which the real API takes here.")).param(name)
}

fn lists(route: &Route, name: &str) -> bool {
    let of =
        |line: &'static str| line.split_once(": ").filter(|(endpoint, _)| endpoint.split_once(' ') == Some((route.method, route.path)));
    LIST.lines().find_map(of).is_some_and(|(_, names)| names.split(' ').any(|n| n == name))
}
