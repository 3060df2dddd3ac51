//! Private keys that a passphrase protects.
//!
//! Source: [RFC 5958](https://www.rfc-editor.org/rfc/rfc5958) with [RFC 8018](https://www.rfc-editor.org/rfc/rfc8018) (PBES2) for
//! PKCS #8; OpenSSL's `PEM_read` and `EVP_BytesToKey` for PKCS #1, whose headers say how (RFC 1421).

use aes::{Aes128, Aes192, Aes256};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;
use md5::{Digest as _, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;

const WRONG: &str = "the passphrase is not the right one, or the key is damaged";

/// Decrypts an `ENCRYPTED PRIVATE KEY`.
pub(super) fn pkcs8(der: &[u8], passphrase: &str) -> Result<Vec<u8>, String> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|error| format!("it is no encrypted PKCS #8 key: {error}"))?;
    let decrypted = info.decrypt(passphrase).map_err(|_| WRONG.to_owned())?;
    Ok(decrypted.as_bytes().to_vec())
}

/// Decrypts an `RSA PRIVATE KEY`.
///
/// * `headers`: what is above its base64.
pub(super) fn pkcs1(headers: &str, bytes: &[u8], passphrase: &str) -> Result<Vec<u8>, String> {
    let named = headers
        .lines()
        .find_map(|line| line.strip_prefix("DEK-Info:"));
    let (cipher, iv) = named
        .and_then(|info| info.split_once(','))
        .ok_or("there is no DEK-Info that says how")?;
    let iv = unhex(iv.trim()).ok_or("the vector of DEK-Info is not hexadecimal")?;
    match cipher.trim() {
        "AES-128-CBC" => decrypt::<Decryptor<Aes128>>(bytes, passphrase, &iv),
        "AES-192-CBC" => decrypt::<Decryptor<Aes192>>(bytes, passphrase, &iv),
        "AES-256-CBC" => decrypt::<Decryptor<Aes256>>(bytes, passphrase, &iv),
        "DES-EDE3-CBC" => decrypt::<Decryptor<TdesEde3>>(bytes, passphrase, &iv),
        other => Err(format!(
            "its cipher {other:?} is none of AES-128-CBC, AES-192-CBC, AES-256-CBC and DES-EDE3-CBC"
        )),
    }
}

fn decrypt<C>(bytes: &[u8], passphrase: &str, iv: &[u8]) -> Result<Vec<u8>, String>
where
    C: KeyIvInit + BlockModeDecrypt,
{
    // The salt is the vector, of which eight bytes count.
    let salt = iv.get(..8).ok_or("the vector of DEK-Info is too short")?;
    let mut key = Vec::new();
    let mut digest: Vec<u8> = Vec::new();
    while key.len() < C::key_size() {
        let mut md5 = Md5::new();
        md5.update(&digest);
        md5.update(passphrase.as_bytes());
        md5.update(salt);
        digest = md5.finalize().to_vec();
        key.extend_from_slice(&digest);
    }
    key.truncate(C::key_size());
    let cipher = C::new_from_slices(&key, iv)
        .map_err(|_| "the vector of DEK-Info has not the cipher's length")?;
    cipher
        .decrypt_padded_vec::<Pkcs7>(bytes)
        .map_err(|_| WRONG.to_owned())
}

/// Returns the bytes that pairs of hexadecimal digits stand for.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

#[cfg(test)]
mod tests;
