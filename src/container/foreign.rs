//! Files that are not what their names say, recognised by their first bytes.

use crate::error::{Error, ErrorKind};

/// What a file is if it is neither safetensors nor JSON, as far as its `beginning` tells.
///
/// A safetensors file begins with the length of its header, and a length may have the same bytes as one of these beginnings. So call this only
/// if the length is above the format's limit, or if the file has to be JSON.
pub(crate) fn foreign(file: &str, beginning: &[u8]) -> Option<Error> {
    let wrong = |kind: ErrorKind, reason: &str, found: &str| {
        Error::wrong_input(file, reason).kind(kind).expected("a safetensors or JSON file").found(found)
    };
    match beginning {
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => Some(
            wrong(ErrorKind::LfsPointer, "this is a Git LFS pointer, not the file itself", "a Git LFS pointer")
                .fix("run git lfs pull"),
        ),
        [b'G', b'G', b'U', b'F', ..] => Some(
            wrong(ErrorKind::OtherFormat, "this is a GGUF file, not safetensors", "GGUF")
                .fix("give the safetensors files that it was made from"),
        ),
        // PyTorch's format is a zip archive of a pickle; before version 1.6 it was the pickle alone.
        [b'P', b'K', 3, 4, ..] => Some(
            wrong(
                ErrorKind::OtherFormat,
                "this is a zip archive, as torch.save writes, not safetensors",
                "a zip archive",
            )
            .fix("save the model as safetensors"),
        ),
        [0x80, 2..=5, ..] => Some(
            wrong(ErrorKind::Pickle, "a pickle file can run code when it is read", "a pickle file")
                .fix("save the model as safetensors"),
        ),
        _ => match beginning.trim_ascii_start() {
            [b'<', b'!' | b'?' | b'a'..=b'z' | b'A'..=b'Z', ..] => Some(
                wrong(ErrorKind::WebPage, "this is a web page, not the file itself", "a web page")
                    .fix("give the address of the file itself, or download it again"),
            ),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_instead() {
        for (beginning, kind) in [
            (b"version https://git-lfs.github.com/spec/v1".as_slice(), Some(ErrorKind::LfsPointer)),
            (b"<!DOCTYPE html>", Some(ErrorKind::WebPage)),
            (b"\n\n <html", Some(ErrorKind::WebPage)),
            (b"GGUF\x03\0\0\0", Some(ErrorKind::OtherFormat)),
            (b"PK\x03\x04\0\0\x08\x08", Some(ErrorKind::OtherFormat)),
            (b"\x80\x02\x8a\nl\xfc\x9cF", Some(ErrorKind::Pickle)),
            (b"\x80\x01\0\0\0\0\0\0", None),
            (b"{\"r\": 8}", None),
            (b"peft_type: LORA", None),
            (b"", None),
        ] {
            assert_eq!(foreign("file", beginning).and_then(|error| error.facts().kind), kind, "{beginning:?}");
        }
    }
}
