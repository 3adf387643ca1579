//! A TCP door in front of a port. Shut, it takes connections and drops them at once, as a dying server does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// A door to `127.0.0.1:port`.
pub(crate) struct Gate {
    port: u16,
    state: Arc<State>,
}

struct State {
    target: u16,
    open: AtomicBool,
    turned_away: AtomicU64,
}

impl Gate {
    /// A shut door.
    pub(crate) fn shut_before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let state = Arc::new(State { target, open: AtomicBool::new(false), turned_away: AtomicU64::new(0) });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.serve(caller));
            }
        });
        Self { port, state }
    }

    /// `http://host:port` of the door.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets everybody through from now on.
    pub(crate) fn open(&self) {
        self.state.open.store(true, Ordering::SeqCst);
    }

    /// How many connections found it shut.
    pub(crate) fn turned_away(&self) -> u64 {
        self.state.turned_away.load(Ordering::SeqCst)
    }
}

impl State {
    fn serve(&self, caller: TcpStream) {
        if !self.open.load(Ordering::SeqCst) {
            self.turned_away.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let Ok(target) = TcpStream::connect(("127.0.0.1", self.target)) else { return };
        let (Ok(from_caller), Ok(to_target)) = (caller.try_clone(), target.try_clone()) else { return };
        let forth = thread::spawn(move || pump(from_caller, to_target));
        pump(target, caller);
        let _the_pump_has_no_result = forth.join();
    }
}

/// Copies until either side ends, then tells the other side.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    let _broken_by_either_side = copy(&mut from, &mut to, &mut buffer);
    let _already_closed = to.shutdown(Shutdown::Write);
}

fn copy(from: &mut TcpStream, to: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match from.read(buffer)? {
            0 => return Ok(()),
            n => to.write_all(buffer.get(..n).unwrap_or_default())?,
        }
    }
}
