//! A balancer of connections before several receivers, as a service of Kubernetes is: in turns, and to another one when one does not take it.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Passes connections on for as long as the test runs.
pub struct Balancer {
    port: u16,
}

impl Balancer {
    /// A balancer before these addresses, `host:port`.
    pub fn before(targets: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        thread::spawn(move || {
            let turn = AtomicUsize::new(0);
            for client in listener.incoming().flatten() {
                let first = turn.fetch_add(1, Ordering::Relaxed);
                let in_turn = targets.iter().cycle().skip(first % targets.len()).take(targets.len());
                // with nobody there the client sees an end of its connection, and tries again
                if let Some(target) = in_turn.filter_map(|target| TcpStream::connect(target).ok()).next() {
                    thread::spawn(move || {
                        let _broken_by_either_side = pass_both_ways(&client, &target);
                    });
                }
            }
        });
        Self { port }
    }

    /// `http://host:port`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

fn pass_both_ways(client: &TcpStream, target: &TcpStream) -> io::Result<()> {
    let (mut from_client, mut to_target) = (client.try_clone()?, target.try_clone()?);
    let there = thread::spawn(move || {
        let passed = io::copy(&mut from_client, &mut to_target);
        let _already_gone = to_target.shutdown(Shutdown::Write);
        passed
    });
    let (mut from_target, mut to_client) = (target.try_clone()?, client.try_clone()?);
    let passed_back = io::copy(&mut from_target, &mut to_client);
    let _already_gone = client.shutdown(Shutdown::Both);
    there.join().expect("it does not panic")?;
    passed_back.map(|_| ())
}
