//! x
mod data;
mod native;
use data::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let dir = std::path::PathBuf::from(&a[1]);
    let kind = a[2].as_str();
    let rows: usize = a[3].parse().unwrap();
    let batch: usize = a[4].parse().unwrap();
    let it: Box<dyn Iterator<Item = Span>> = match kind {
        "a1" => Box::new(Conversations::new(false).take(rows)),
        "a2" => Box::new(Conversations::new(true).take(rows)),
        "b" => Box::new(Services::new(rows, 7 * DAY)),
        "bd" => Box::new(Services::new(rows, DAY / 8)),
        _ => panic!(),
    };
    let mut it = it.peekable();
    let mut n = 0;
    let mut inlen = 0;
    while it.peek().is_some() {
        let rows: Vec<Span> = it.by_ref().take(batch).collect();
        inlen += rows.iter().map(|r| r.call.as_ref().map_or(0, |c| c.input.len())).sum::<usize>();
        let genai = kind.starts_with('a');
        std::fs::write(dir.join(format!("{kind}.stock.{n:04}")), native::encode(native::STOCK.iter(), &rows)).unwrap();
        std::fs::write(dir.join(format!("{kind}.ours.{n:04}")), native::encode(native::ours(genai), &rows)).unwrap();
        if !genai {
            std::fs::write(dir.join(format!("{kind}.oursfull.{n:04}")), native::encode(native::ours(true), &rows)).unwrap();
        }
        n += 1;
    }
    println!("{} input bytes/row", inlen / rows);
}
