//! Who waits for whom: the tree of blockers, each session in it once, cycles told instead of followed.

use super::Activity;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Who waits for whom at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocking {
    /// Blocker → those that wait for it directly.
    waiting: BTreeMap<i32, BTreeSet<i32>>,
    /// Those that wait.
    blocked: BTreeSet<i32>,
    /// Blocker → how many wait for it, directly or behind one that does.
    victims: BTreeMap<i32, usize>,
}

/// A line of the tree, in the order to draw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeRow {
    /// 0: a prepared transaction, which no session holds.
    pub pid: i32,
    /// 0 for a root.
    pub depth: usize,
    /// How many wait for it, directly or not.
    pub victims: usize,
    /// A root that itself waits in a circle: the server ends one of them by itself after `deadlock_timeout`.
    pub circle: bool,
}

impl Blocking {
    #[must_use]
    pub fn of(activity: &Activity) -> Self {
        let mut out = Self::default();
        for session in &activity.sessions {
            // A worker waits with its leader, which is told by itself.
            let waits_for = session.blocked_by.iter().filter(|b| **b != session.pid);
            for blocker in waits_for {
                out.waiting.entry(*blocker).or_default().insert(session.pid);
                out.blocked.insert(session.pid);
            }
        }
        let all: Vec<i32> = out.waiting.keys().copied().collect();
        out.victims = all.into_iter().map(|pid| (pid, out.behind(pid).len())).collect();
        out
    }

    /// How many wait for it, directly or behind one that does.
    #[must_use]
    pub fn victims(&self, pid: i32) -> usize {
        self.victims.get(&pid).copied().unwrap_or(0)
    }

    #[must_use]
    pub fn is_blocked(&self, pid: i32) -> bool {
        self.blocked.contains(&pid)
    }

    /// How many wait at all.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.blocked.len()
    }

    /// All that would go on, or at least move up, if these went: themselves not among them.
    #[must_use]
    pub fn freed_by(&self, pids: &[i32]) -> BTreeSet<i32> {
        let all = pids.iter().flat_map(|pid| self.behind(*pid));
        all.filter(|pid| !pids.contains(pid)).collect()
    }

    /// The lines of the tree: the root that most wait for first, below it those that wait, each session once and as near to its root
    /// as it stands.
    #[must_use]
    pub fn rows(&self) -> Vec<TreeRow> {
        let mut roots: Vec<i32> = self.waiting.keys().copied().filter(|pid| !self.blocked.contains(pid)).collect();
        roots.sort_by_key(|pid| (std::cmp::Reverse(self.victims(*pid)), *pid));
        let mut seen: BTreeSet<i32> = BTreeSet::new();
        let mut out = Vec::new();
        for root in roots {
            self.draw(root, false, &mut seen, &mut out);
        }
        // What is left waits in circles, or behind one.
        for pid in self.waiting.keys() {
            if !seen.contains(pid) && self.behind(*pid).contains(pid) {
                self.draw(*pid, true, &mut seen, &mut out);
            }
        }
        out
    }

    /// One root and what waits behind it, breadth first, so that each hangs where it is nearest; then drawn depth first.
    fn draw(&self, root: i32, circle: bool, seen: &mut BTreeSet<i32>, out: &mut Vec<TreeRow>) {
        seen.insert(root);
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        let mut queue = VecDeque::from([root]);
        while let Some(pid) = queue.pop_front() {
            for next in self.waiting.get(&pid).into_iter().flatten() {
                if seen.insert(*next) {
                    children.entry(pid).or_default().push(*next);
                    queue.push_back(*next);
                }
            }
        }
        let mut stack = vec![(root, 0)];
        while let Some((pid, depth)) = stack.pop() {
            out.push(TreeRow { pid, depth, victims: self.victims(pid), circle: circle && depth == 0 });
            let below = children.get(&pid).into_iter().flatten().rev();
            stack.extend(below.map(|next| (*next, depth + 1)));
        }
    }

    fn behind(&self, pid: i32) -> BTreeSet<i32> {
        let mut seen = BTreeSet::new();
        let mut queue = vec![pid];
        while let Some(next) = queue.pop() {
            queue.extend(self.waiting.get(&next).into_iter().flatten().filter(|w| seen.insert(**w)));
        }
        seen
    }
}
