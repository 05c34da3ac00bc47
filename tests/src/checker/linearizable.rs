//! Linearizability by search.
//!
//! The algorithm is Wing and Gong's (Journal of Parallel and Distributed Computing
//! 17, 1993) with Lowe's memory of configurations already seen (Concurrency and
//! Computation 29, 2017). Histories are judged per object; the caller partitions
//! them, which is sound because linearizability is local (Herlihy and Wing, 1990).
//!
//! An operation of unknown outcome may have happened at any time after its call,
//! or not at all.

use std::{collections::HashSet, fmt::Debug, hash::Hash};

/// What an object does, one operation at a time.
pub trait Model {
    /// State of one object.
    type State: Clone + Debug + Eq + Hash;
    /// What was asked, together with what was answered.
    type Operation: Debug;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `operation`, `None` if it cannot have been answered like
    /// this in `state`.
    fn step(&self, state: &Self::State, operation: &Self::Operation) -> Option<Self::State>;
}

/// An operation and when it took place, in any unit of one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed<O> {
    /// The operation.
    pub operation: O,
    /// When it was called.
    pub called: u64,
    /// When it was answered; `None` if it never was, or with an error that leaves
    /// open whether it happened.
    pub answered: Option<u64>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains all answers.
    Linearizable,
    /// There is none. The position in the history of an operation that no order
    /// reaches, of those that were left when the longest one ended.
    Violated {
        /// Position of the operation that was answered first among them.
        position: usize,
        /// Operations in the longest order found.
        explained_count: usize,
    },
    /// Not found out within the steps given.
    Undecided,
}

/// Steps after which a search gives up: a minute or so.
pub const STEPS_MAX: u64 = 50_000_000;

/// Searches for an order of `history`, in at most `steps_max` steps.
pub fn check<M: Model>(model: &M, history: &[Timed<M::Operation>], steps_max: u64) -> Verdict {
    Search::new(model, history).run(steps_max)
}

/// A call or an answer, in a list from which operations are taken out and put back.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Position of the operation in the history.
    operation: usize,
    /// The node of its answer, if this is a call and there is one.
    answer: Option<usize>,
    is_call: bool,
    previous: usize,
    next: usize,
}

/// Operations taken so far: all before `from`, and those listed. As few are open
/// at a time, this is short however long the history is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Taken {
    from: usize,
    /// Ascending, all above `from`.
    beyond: Vec<usize>,
}

impl Taken {
    fn insert(&mut self, rank: usize) {
        match self.beyond.binary_search(&rank) {
            Ok(_) => return,
            Err(place) => self.beyond.insert(place, rank),
        }
        let from = self.from;
        let run = self.beyond.iter().zip(from..);
        let run = run.take_while(|(taken, wanted)| **taken == *wanted).count();
        self.beyond.drain(..run);
        self.from += run;
    }

    fn count(&self) -> usize {
        self.from + self.beyond.len()
    }
}

/// A decision that can be taken back.
struct Decision<S> {
    node: usize,
    state: S,
    taken: Taken,
}

struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Timed<M::Operation>],
    /// Node 0 is the head; the list is a ring.
    nodes: Vec<Node>,
    /// Position among the calls, by operation.
    ranks: Vec<usize>,
    /// Answers still in the list.
    answers_left: usize,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, history: &'a [Timed<M::Operation>]) -> Self {
        // At equal times calls come first: the operations may have overlapped.
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(history.len() * 2);
        for (position, timed) in history.iter().enumerate() {
            events.push((timed.called, false, position));
            if let Some(answered) = timed.answered {
                events.push((answered.max(timed.called), true, position));
            }
        }
        events.sort_unstable();
        let head = Node {
            operation: usize::MAX,
            answer: None,
            is_call: false,
            previous: events.len(),
            next: if events.is_empty() { 0 } else { 1 },
        };
        let mut nodes = vec![head];
        let mut call_nodes = vec![0; history.len()];
        let mut ranks = vec![0; history.len()];
        let mut calls_count = 0;
        let mut answers_left = 0;
        for (place, (_, is_answer, operation)) in events.iter().copied().enumerate() {
            let node = place + 1;
            if is_answer {
                nodes[call_nodes[operation]].answer = Some(node);
                answers_left += 1;
            } else {
                call_nodes[operation] = node;
                ranks[operation] = calls_count;
                calls_count += 1;
            }
            nodes.push(Node {
                operation,
                answer: None,
                is_call: !is_answer,
                previous: place,
                next: if node == events.len() { 0 } else { node + 1 },
            });
        }
        Self {
            model,
            history,
            nodes,
            ranks,
            answers_left,
        }
    }

    fn run(mut self, steps_max: u64) -> Verdict {
        let mut state = self.model.initial();
        let mut taken = Taken {
            from: 0,
            beyond: Vec::new(),
        };
        let mut decisions: Vec<Decision<M::State>> = Vec::new();
        let mut seen: HashSet<(Taken, M::State)> = HashSet::new();
        let mut node = self.nodes[0].next;
        let mut furthest = (0, 0);
        for _ in 0..steps_max {
            if self.answers_left == 0 {
                return Verdict::Linearizable;
            }
            let Node {
                operation,
                is_call,
                next,
                ..
            } = self.nodes[node];
            if is_call {
                let stepped = self.model.step(&state, &self.history[operation].operation);
                if let Some(after) = stepped {
                    let mut more = taken.clone();
                    more.insert(self.ranks[operation]);
                    if seen.insert((more.clone(), after.clone())) {
                        let state = std::mem::replace(&mut state, after);
                        let taken = std::mem::replace(&mut taken, more);
                        decisions.push(Decision { node, state, taken });
                        self.take(node);
                        node = self.nodes[0].next;
                        continue;
                    }
                }
                node = next;
                continue;
            }
            // An answer whose operation was not taken: the order so far is wrong.
            if taken.count() >= furthest.0 {
                furthest = (taken.count(), operation);
            }
            let Some(decision) = decisions.pop() else {
                return Verdict::Violated {
                    position: furthest.1,
                    explained_count: furthest.0,
                };
            };
            state = decision.state;
            taken = decision.taken;
            self.put_back(decision.node);
            node = self.nodes[decision.node].next;
        }
        Verdict::Undecided
    }

    /// Takes an operation out of the list.
    fn take(&mut self, call: usize) {
        self.unlink(call);
        if let Some(answer) = self.nodes[call].answer {
            self.unlink(answer);
            self.answers_left -= 1;
        }
    }

    /// Undoes the last [`Self::take`] that was not undone.
    fn put_back(&mut self, call: usize) {
        if let Some(answer) = self.nodes[call].answer {
            self.link(answer);
            self.answers_left += 1;
        }
        self.link(call);
    }

    fn unlink(&mut self, node: usize) {
        let Node { previous, next, .. } = self.nodes[node];
        self.nodes[previous].next = next;
        self.nodes[next].previous = previous;
    }

    fn link(&mut self, node: usize) {
        let Node { previous, next, .. } = self.nodes[node];
        self.nodes[previous].next = node;
        self.nodes[next].previous = node;
    }
}
