use crate::rsa::RsaKey;
use crate::rsa::tests::PKCS8;

const PROTECTED: [(&str, &str); 6] = [
    ("PBES2, AES-256", include_str!("pkcs8-aes256.pem")),
    ("PBES2, 3DES, SHA-1", include_str!("pkcs8-des3.pem")),
    ("PBES2, scrypt", include_str!("pkcs8-scrypt.pem")),
    ("AES-128-CBC", include_str!("pkcs1-aes128.pem")),
    ("AES-256-CBC", include_str!("pkcs1-aes256.pem")),
    ("DES-EDE3-CBC", include_str!("pkcs1-des3.pem")),
];

fn error(pem: &str, passphrase: &str) -> String {
    let error = RsaKey::of_protected_pem(pem, passphrase).err();
    error.map_or_else(|| "none".to_owned(), |error| error.to_string())
}

#[test]
fn every_form_is_the_key_that_it_was_made_of() {
    let expected = RsaKey::of_pem(PKCS8).unwrap().sign(b"text").unwrap();
    for (name, pem) in PROTECTED {
        for pem in [pem.to_owned(), pem.replace('\n', "\r\n")] {
            let key = RsaKey::of_protected_pem(&pem, "hush").unwrap();
            assert_eq!(key.sign(b"text").unwrap(), expected, "{name}");
        }
    }
    // A passphrase for a key that needs none changes nothing.
    let key = RsaKey::of_protected_pem(PKCS8, "hush").unwrap();
    assert_eq!(key.sign(b"text").unwrap(), expected);
}

#[test]
fn without_the_passphrase_there_is_no_key() {
    for (name, pem) in PROTECTED {
        let expected = "the private key is encrypted, and there is no passphrase";
        assert_eq!(error(pem, ""), expected, "{name}");
        let wrong = error(pem, "other");
        let is_told = wrong.starts_with("the private key cannot be decrypted: the passphrase")
            // One wrong passphrase in 256 leaves something that looks padded.
            || wrong.starts_with("the private key is not usable");
        assert!(is_told, "{name}: {wrong}");
    }
}

#[test]
fn headers_that_say_nothing_useful() {
    let pem = PROTECTED[3].1;
    let with = |info: &str| {
        let lines = pem.lines().map(|line| match line.starts_with("DEK-Info:") {
            true => info,
            false => line,
        });
        error(&lines.collect::<Vec<_>>().join("\n"), "hush")
    };
    for (info, expected) in [
        ("X: y", "there is no DEK-Info that says how"),
        (
            "DEK-Info: AES-128-CBC",
            "there is no DEK-Info that says how",
        ),
        (
            "DEK-Info: AES-128-CBC,xy",
            "the vector of DEK-Info is not hexadecimal",
        ),
        (
            "DEK-Info: AES-128-CBC,00",
            "the vector of DEK-Info is too short",
        ),
        (
            "DEK-Info: AES-128-CBC,0011223344556677",
            "the vector of DEK-Info has not the cipher's length",
        ),
        (
            "DEK-Info: DES-CBC,0011223344556677",
            "its cipher \"DES-CBC\" is none of AES-128-CBC, AES-192-CBC, AES-256-CBC and DES-EDE3-CBC",
        ),
    ] {
        assert_eq!(
            with(info),
            format!("the private key cannot be decrypted: {expected}")
        );
    }
}
