//! STDIN is the body of the request, STDOUT the answer. An exit code other than 0 makes it a failure (500).
//! Headers, path and query are variables: Http_X_Github_Event, Http_Path, Http_Query (docs/functions.md).

use std::io::{self, Read};

fn main() -> io::Result<()> {
    let mut body = String::new();
    io::stdin().read_to_string(&mut body)?;
    println!("hello {}, from @NAME@", body.trim());
    Ok(())
}
