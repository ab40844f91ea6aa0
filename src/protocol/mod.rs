//! What the halves say to each other: reads, writes, events, effects, and the records of a run. Plain data.
