//! Who is let in: names and passwords against bcrypt hashes.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::Semaphore;

use crate::http_config::Secret;

/// How many passwords that were right are remembered, as working one out takes bcrypt a tenth of a second.
const REMEMBERED_MAX: usize = 100;
/// How many bytes of a password count in bcrypt; a longer one is refused, as in Go.
const PASSWORD_MAX: usize = 72;
/// What the password of a user who does not exist is compared with, so that it takes as long as for one who does.
const NOBODY: &str = "$2b$10$DpGehDxEzxNkz6jdPjKO9eSIqqzHkJdgdAdNmxXzyRZTB8pFeRYWO";

/// Lets users in. Passwords are worked out one at a time, so that guessing them takes no more than one processor.
#[derive(Debug)]
pub(super) struct Users {
    known: Mutex<Remembered>,
    one_at_a_time: Arc<Semaphore>,
}

/// Keyed hashes of names, hashes and passwords that were right: never the password itself.
#[derive(Debug)]
struct Remembered {
    keys: [RandomState; 2],
    right: VecDeque<[u64; 2]>,
}

impl Default for Users {
    fn default() -> Self {
        Users {
            known: Mutex::new(Remembered {
                keys: Default::default(),
                right: VecDeque::new(),
            }),
            one_at_a_time: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Users {
    /// Returns whether an `Authorization` header names one of `users` and the right password. Without users everyone may.
    pub(super) async fn may_enter(
        &self,
        users: &BTreeMap<String, Secret>,
        authorization: Option<&[u8]>,
    ) -> bool {
        if users.is_empty() {
            return true;
        }
        let Some((name, password)) = authorization.and_then(credentials) else {
            return false;
        };
        let hash = users.get(&name).map(|hash| hash.reveal().to_owned());
        let entry = (name, hash.clone(), password.clone());
        let key = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let key = [
                known.keys[0].hash_one(&entry),
                known.keys[1].hash_one(&entry),
            ];
            if known.right.contains(&key) {
                return true;
            }
            key
        };
        let Ok(_turn) = self.one_at_a_time.acquire().await else {
            return false;
        };
        let verified = tokio::task::spawn_blocking(move || {
            let is_right = PASSWORD_MAX >= password.len()
                && bcrypt::verify(&password, hash.as_deref().unwrap_or(NOBODY)).unwrap_or(false);
            is_right && hash.is_some()
        });
        let is_right = verified.await.unwrap_or(false);
        if is_right {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.right.len() == REMEMBERED_MAX {
                known.right.pop_front();
            }
            known.right.push_back(key);
        }
        is_right
    }
}

/// Returns the name and the password of a basic `Authorization`.
fn credentials(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let name = std::str::from_utf8(&decoded[..colon]).ok()?.to_owned();
    Some((name, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(text)).into_bytes()
    }

    #[tokio::test]
    async fn the_right_password_lets_in() {
        let hash = bcrypt::hash("open: sesame", 4).unwrap();
        let users: BTreeMap<String, Secret> = [("ali".to_owned(), Secret::new(hash))].into();
        let door = Users::default();
        let cases: [(Option<Vec<u8>>, bool); 9] = [
            (None, false),
            (Some(header("ali:open: sesame")), true),
            // Once more, remembered.
            (Some(header("ali:open: sesame")), true),
            (Some(header("ali:open barley")), false),
            (Some(header("baba:open: sesame")), false),
            (Some(header("ali")), false),
            (Some(b"Bearer open".to_vec()), false),
            (Some(b"Basic ?".to_vec()), false),
            (Some(header(&format!("ali:{}", "x".repeat(100)))), false),
        ];
        for (given, expected) in &cases {
            let entered = door.may_enter(&users, given.as_deref()).await;
            assert_eq!(entered, *expected, "{given:?}");
        }
        assert!(door.may_enter(&BTreeMap::new(), None).await);
        // With another hash the old password is forgotten.
        let other = bcrypt::hash("other", 4).unwrap();
        let users: BTreeMap<String, Secret> = [("ali".to_owned(), Secret::new(other))].into();
        assert!(
            !door
                .may_enter(&users, Some(&header("ali:open: sesame")))
                .await
        );
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let users: BTreeMap<String, Secret> = (0..REMEMBERED_MAX + 5)
            .map(|n| (format!("u{n}"), Secret::new(bcrypt::hash("p", 4).unwrap())))
            .collect();
        let door = Users::default();
        for name in users.keys() {
            assert!(
                door.may_enter(&users, Some(&header(&format!("{name}:p"))))
                    .await
            );
        }
        assert_eq!(door.known.lock().unwrap().right.len(), REMEMBERED_MAX);
    }
}
