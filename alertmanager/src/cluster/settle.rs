//! When a member that has just started knows its cluster: before that it tells nobody anything.

/// Polls in a row that must find the same number of members.
const UNCHANGED_WANTED: u32 = 3;

/// Watches the number of members until it stays the same.
#[derive(Debug)]
pub(crate) struct Settling {
    every_ms: u64,
    next_ms: u64,
    deadline_ms: u64,
    members: Option<usize>,
    unchanged: u32,
    is_over: bool,
}

impl Settling {
    /// Returns one that polls every `every_ms`, and gives up waiting after `timeout_ms`.
    pub(crate) fn new(every_ms: u64, timeout_ms: u64, now_ms: u64) -> Self {
        Settling {
            every_ms: every_ms.max(1),
            next_ms: now_ms,
            deadline_ms: now_ms.saturating_add(timeout_ms),
            members: None,
            unchanged: 0,
            is_over: false,
        }
    }

    /// Returns one that is over: there is nobody to wait for.
    pub(crate) fn over() -> Self {
        Settling {
            is_over: true,
            ..Settling::new(1, 0, 0)
        }
    }

    /// Takes note of how many members there are.
    pub(crate) fn poll(&mut self, members: usize, now_ms: u64) {
        if self.is_over || now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms.saturating_add(self.every_ms).min(self.deadline_ms);
        self.unchanged = match self.members {
            Some(before) if before == members => self.unchanged + 1,
            _ => 0,
        };
        self.members = Some(members);
        self.is_over = UNCHANGED_WANTED <= self.unchanged || self.deadline_ms <= now_ms;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns when to poll next.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        (!self.is_over).then_some(self.next_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns when it is over, if there are so many members at each poll.
    fn over_at(members: &[usize], timeout_ms: u64) -> Option<u64> {
        let mut settling = Settling::new(100, timeout_ms, 50);
        for &members in members {
            let now_ms = settling.next_ms().unwrap();
            settling.poll(members, now_ms);
            if settling.is_over() {
                return Some(now_ms);
            }
        }
        None
    }

    #[test]
    fn it_is_over_when_three_polls_find_the_same() {
        assert_eq!(over_at(&[1, 1, 1, 1], 9_999), Some(350));
        assert_eq!(over_at(&[1, 1, 1, 2, 2, 2], 9_999), None);
        assert_eq!(over_at(&[1, 1, 1, 2, 2, 2, 2], 9_999), Some(650));
        assert_eq!(over_at(&[1, 2, 1, 2, 1, 2], 330), Some(380), "the timeout");
        assert!(Settling::over().is_over());
    }
}
