//! Drills and rounds of the judge, the tests that load the machine most: they run one at a time.

mod drills;
mod judge;
