//! Places in the list of a trace's spans, and tables with a value for each.

use std::ops::{Index, IndexMut};

/// A span by its place in the order in which the spans began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node(usize);

/// A value for each span. A [`Node`] is only ever made by the table of spans, and all tables of a trace are as long.
#[derive(Debug, Clone)]
pub(super) struct PerNode<T>(Vec<T>);

impl<T> PerNode<T> {
    pub(super) fn new(values: Vec<T>) -> Self {
        Self(values)
    }

    pub(super) fn nodes(&self) -> impl DoubleEndedIterator<Item = Node> + use<T> {
        (0..self.0.len()).map(Node)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Node, &T)> {
        self.0.iter().enumerate().map(|(place, value)| (Node(place), value))
    }

    /// A table as long as this one.
    pub(super) fn of_same<U: Clone>(&self, value: U) -> PerNode<U> {
        PerNode(vec![value; self.0.len()])
    }
}

impl<T> Index<Node> for PerNode<T> {
    type Output = T;

    fn index(&self, node: Node) -> &T {
        self.0.get(node.0).expect("every table has a value for each span")
    }
}

impl<T> IndexMut<Node> for PerNode<T> {
    fn index_mut(&mut self, node: Node) -> &mut T {
        self.0.get_mut(node.0).expect("every table has a value for each span")
    }
}
