//! Calls of a trace as one conversation: which messages of each are new, and what it goes on from.
//!
//! ```text
//! call 0   A B       -> C      A, B, C are new
//! call 1   A B C D   -> E      goes on from call 0, of which it keeps 3; D, E are new
//! call 2   A B C D'  -> F      goes on from call 0 too: a branch
//! call 3   A C D E G -> H      keeps 1 of call 2 (A): the history was rewritten; C, D, E are told by their numbers, G and H are new
//! ```
//!
//! A message is told by a hash of what it says, so each is one wherever it is repeated. Linear in the number of messages.

use std::collections::HashMap;

/// What a call says, its system prompt left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Whose call it is: only calls of one agent go on from each other.
    pub(super) agent: usize,
    /// The messages sent.
    pub(super) input: Vec<u64>,
    /// The messages received.
    pub(super) output: Vec<u64>,
    /// How many earlier messages the input leaves out, by its sender's word.
    pub(super) left_out: usize,
}

/// A message, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    /// The call that sent it first, or received it.
    pub(super) call: usize,
    pub(super) side: Side,
    /// Its place in the input or output of that call.
    pub(super) place: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

/// What a call goes on from, and with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Linked {
    /// The call whose messages it begins with.
    pub(super) base: Option<usize>,
    /// How many of them.
    pub(super) kept: usize,
    /// How many others that call has.
    pub(super) dropped: usize,
    /// The messages of its input after those, by number.
    pub(super) added: Vec<usize>,
    /// The messages received, by number.
    pub(super) output: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    message: usize,
    /// The call that went this way last.
    call: usize,
}

#[derive(Debug, Default)]
struct Agent {
    /// The way of its last call: numbers of nodes.
    way: Vec<usize>,
    /// Its messages by what they say.
    known: HashMap<u64, usize>,
    has_calls: bool,
}

/// The conversation so far.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) messages: Vec<Message>,
    nodes: Vec<Node>,
    /// The node after a node of an agent, by what it says. The first has none before it.
    next: HashMap<(usize, Option<usize>, u64), usize>,
    agents: HashMap<usize, Agent>,
    /// How many messages each call has, input and first output.
    lengths: Vec<usize>,
}

impl Chain {
    /// Adds a call; calls come by time.
    pub(super) fn add(&mut self, said: &Said) -> Linked {
        let call = self.lengths.len();
        let mut agent = self.agents.remove(&said.agent).unwrap_or_default();
        let mut way: Vec<usize> = agent.way.iter().copied().take(said.left_out).collect();
        let mut rest = said.input.iter().enumerate();
        let mut unknown = rest.clone();
        while let Some((_, hash)) = rest.next() {
            let Some(node) = self.next.get(&(said.agent, way.last().copied(), *hash)) else { break };
            way.push(*node);
            unknown = rest.clone();
        }
        let kept = way.len();
        let base = way.last().and_then(|node| self.nodes.get(*node)).map(|node| node.call);
        let whole = base.and_then(|base| self.lengths.get(base)).map_or(0, |length| *length);
        let dropped = whole.saturating_sub(kept);
        // of a history that was rewritten, what was said before is told again
        let is_rewritten = dropped > 0 || (base.is_none() && agent.has_calls);
        let mut added = Vec::new();
        for (place, hash) in unknown {
            let known = agent.known.get(hash).copied().filter(|_| is_rewritten);
            let message = known.unwrap_or_else(|| self.message(Message { call, side: Side::Input, place }));
            agent.known.insert(*hash, message);
            way.push(self.node((said.agent, way.last().copied(), *hash), message, call));
            added.push(message);
        }
        let (mut output, mut after) = (Vec::new(), None);
        for (place, hash) in said.output.iter().enumerate() {
            let key = (said.agent, way.last().copied(), *hash);
            let known = self.next.get(&key).and_then(|node| self.nodes.get(*node)).map(|node| node.message);
            let message = known.unwrap_or_else(|| self.message(Message { call, side: Side::Output, place }));
            agent.known.insert(*hash, message);
            if place == 0 {
                after = Some(self.node(key, message, call));
            }
            output.push(message);
        }
        way.extend(after);
        for node in &way {
            if let Some(node) = self.nodes.get_mut(*node) {
                node.call = call;
            }
        }
        self.lengths.push(way.len());
        (agent.way, agent.has_calls) = (way, true);
        self.agents.insert(said.agent, agent);
        Linked { base, kept, dropped, added, output }
    }

    fn message(&mut self, message: Message) -> usize {
        self.messages.push(message);
        self.messages.len() - 1
    }

    fn node(&mut self, key: (usize, Option<usize>, u64), message: usize, call: usize) -> usize {
        let Self { next, nodes, .. } = self;
        *next.entry(key).or_insert_with(|| {
            nodes.push(Node { message, call });
            nodes.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(input: &[u64], output: &[u64]) -> Said {
        Said { input: input.to_vec(), output: output.to_vec(), ..Said::default() }
    }

    fn linked(base: Option<usize>, kept: usize, dropped: usize, added: &[usize], output: &[usize]) -> Linked {
        Linked { base, kept, dropped, added: added.to_vec(), output: output.to_vec() }
    }

    #[test]
    fn each_message_is_one_wherever_it_is_repeated() {
        let mut chain = Chain::default();
        assert_eq!(chain.add(&said(&[1, 2], &[3])), linked(None, 0, 0, &[0, 1], &[2]));
        assert_eq!(chain.add(&said(&[1, 2, 3, 4], &[5])), linked(Some(0), 3, 0, &[3], &[4]));
        assert_eq!(chain.add(&said(&[1, 2, 3, 4, 5, 1], &[3])), linked(Some(1), 5, 0, &[5], &[6]), "said again later");
        assert_eq!(chain.messages.len(), 7);
        assert_eq!(chain.messages[2], Message { call: 0, side: Side::Output, place: 0 });
        assert_eq!(chain.messages[5], Message { call: 2, side: Side::Input, place: 5 });
    }

    #[test]
    fn a_branch_and_a_rewritten_history_say_what_they_keep_and_drop() {
        let mut chain = Chain::default();
        chain.add(&said(&[1, 2], &[3]));
        assert_eq!(chain.add(&said(&[1, 2, 3, 4], &[5])), linked(Some(0), 3, 0, &[3], &[4]));
        assert_eq!(
            chain.add(&said(&[1, 2, 3, 9], &[6])),
            linked(Some(1), 3, 2, &[5], &[6]),
            "a branch before call 1's 4"
        );
        let rewritten = chain.add(&said(&[1, 3, 4, 5, 7], &[8]));
        assert_eq!(rewritten, linked(Some(2), 1, 4, &[2, 3, 4, 7], &[8]), "known messages keep their numbers");
        let shortened = chain.add(&said(&[5, 7, 8, 10], &[11]));
        assert_eq!(shortened, linked(None, 0, 0, &[4, 7, 8, 9], &[10]));
    }

    #[test]
    fn a_call_reported_twice_has_nothing_new_the_second_time() {
        let mut chain = Chain::default();
        chain.add(&said(&[1], &[2]));
        assert_eq!(chain.add(&said(&[1], &[2])), linked(Some(0), 1, 1, &[], &[1]));
    }

    #[test]
    fn agents_have_conversations_of_their_own() {
        let mut chain = Chain::default();
        chain.add(&said(&[1], &[2]));
        let other = Said { agent: 1, ..said(&[1], &[3]) };
        assert_eq!(chain.add(&other), linked(None, 0, 0, &[2], &[3]));
        assert_eq!(chain.add(&said(&[1, 2, 4], &[])), linked(Some(0), 2, 0, &[4], &[]));
    }

    #[test]
    fn what_a_sender_leaves_out_is_what_was_said_before() {
        let mut chain = Chain::default();
        chain.add(&said(&[1, 2], &[3]));
        let short = Said { left_out: 2, ..said(&[3, 4], &[5]) };
        assert_eq!(chain.add(&short), linked(Some(0), 3, 0, &[3], &[4]));
        let shorter = Said { left_out: 4, ..said(&[5, 6], &[7]) };
        assert_eq!(chain.add(&shorter), linked(Some(1), 5, 0, &[5], &[6]));
    }

    #[test]
    fn work_grows_with_the_number_of_messages() {
        let mut chain = Chain::default();
        let mut input = Vec::new();
        for turn in 0..2_000_u64 {
            input.push(2 * turn);
            let linked = chain.add(&said(&input, &[2 * turn + 1]));
            assert_eq!((linked.added.len(), linked.dropped), (1, 0));
            input.push(2 * turn + 1);
        }
        assert_eq!((chain.messages.len(), chain.nodes.len()), (4_000, 4_000));
    }
}
