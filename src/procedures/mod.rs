//! The runbook as code: one file per procedure, each a pure plan over facts.
