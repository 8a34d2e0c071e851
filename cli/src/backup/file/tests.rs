use std::os::unix::fs::PermissionsExt;

use super::*;

fn part(name: &str) -> BackupPart {
    BackupPart { kind: "stream".to_owned(), name: name.to_owned(), about: json!({ "name": name }) }
}

fn write(name: &Path) {
    let mut writer = Writer::create(name, Progress::hidden()).unwrap();
    writer.part(&part("ONE"), &[b"first".to_vec(), b"second".to_vec()]).unwrap();
    let mark = writer.mark().unwrap();
    writer.part(&part("FORGOTTEN"), &[vec![7; 3_000_000]]).unwrap();
    writer.rewind(mark).unwrap();
    writer.part(&part("TWO"), &[]).unwrap();
    assert_eq!(writer.finish().unwrap(), fs::metadata(name).unwrap().len());
}

/// What is read of a file.
fn read(name: &Path) -> io::Result<Vec<String>> {
    let mut reader = Reader::open(name, Progress::hidden())?;
    let mut all = Vec::new();
    while let Some(part) = reader.next_part()? {
        all.push(part.name);
        while let Some(chunk) = reader.next_chunk()? {
            all.push(String::from_utf8_lossy(&chunk).into_owned());
        }
    }
    Ok(all)
}

#[test]
fn a_backup_is_read_as_it_was_written_by_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("shop.skep");
    write(&name);
    assert_eq!(read(&name).unwrap(), ["ONE", "first", "second", "TWO"]);
    assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Writer::create(&name, Progress::hidden()).is_err(), "it exists");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
    let mut unread = Reader::open(&name, Progress::hidden()).unwrap();
    while unread.next_part().unwrap().is_some() {}
}

#[test]
fn a_file_that_was_cut_or_changed_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (name, other) = (folder.path().join("shop.skep"), folder.path().join("other.skep"));
    write(&name);
    let whole = fs::read(&name).unwrap();
    for at in 0..whole.len() {
        fs::write(&other, &whole[..at]).unwrap();
        let said = read(&other).unwrap_err().to_string();
        assert!(said.contains("truncated") || said.contains("no backup"), "cut at {at}: {said}");
        let mut changed = whole.clone();
        changed[at] ^= 1;
        fs::write(&other, &changed).unwrap();
        assert!(read(&other).is_err(), "changed at {at}");
    }
    fs::write(&other, [&whole[..], b"x"].concat()).unwrap();
    assert!(read(&other).unwrap_err().to_string().contains("follows its end"));
    fs::write(&other, b"skep-backup 2\n").unwrap();
    assert!(read(&other).unwrap_err().to_string().contains("newer skep"));
}
