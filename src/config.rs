//! The configuration: environments, credentials, schema map, tiers, policy. Parsed once, passed down.
