//! Fetches from several hosts at once, and puts each URL beside what came of it.
//!
//! ```text
//! python3 -m http.server &
//! cargo run --example connect --features patched
//! cargo run --example connect --features patched -- https://example.com/ http://localhost:8000/
//! ```
//!
//! Exit code 1 when a URL could not be fetched.

use std::process::ExitCode;

use evy::GreenPile;
use evy::patched::ureq;

/// What `python3 -m http.server` serves.
const HERE: [&str; 2] = ["http://localhost:8000/", "http://127.0.0.1:8000/"];

fn fetch(url: &str) -> Result<String, ureq::Error> {
    ureq::get(url).call()?.body_mut().read_to_string()
}

fn main() -> ExitCode {
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        urls = HERE.map(String::from).into();
    }

    let pile = GreenPile::new(100);
    for url in urls.clone() {
        pile.spawn(move || fetch(&url));
    }

    // A pile is an iterator over the results, in the order in which they were spawned.
    let mut code = ExitCode::SUCCESS;
    for (url, result) in urls.iter().zip(pile) {
        match result {
            Ok(body) => println!("{url}: {:?}", body.chars().take(50).collect::<String>()),
            Err(error) => {
                println!("{url}: error: {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
