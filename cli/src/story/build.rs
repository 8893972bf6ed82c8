//! One line after the other, into a story.

use jiff::Timestamp;
use rollcall_core::ids::RunRef;

use super::line::Line;
use super::{
    Answer, BadLine, Changed, End, Generation, GraphTrouble, Hold, Lease, LeaseEnd, Page, Plan,
    Revert, Story, Wait,
};

/// The status of an answer that says "too many requests".
const TOO_MANY_REQUESTS: u64 = 429;

/// The story of a run. Its lines come by time, each once; there is one at least.
pub(super) fn story(run: &RunRef, lines: &[Line]) -> Result<Story, BadLine> {
    let at = |line: Option<&Line>| line.map(|line| line.at).unwrap_or_default();
    let mut story = Story {
        tenant: run.tenant.clone(),
        run: run.run,
        mode: None,
        settings_revision: None,
        settings_revision_before: None,
        first_line_at: at(lines.first()),
        last_line_at: at(lines.last()),
        state: End::Unknown,
        reason: None,
        detail: None,
        cause: String::new(),
        generation: 1,
        generations: Vec::new(),
        leases: Vec::new(),
        pages: Vec::new(),
        graph: GraphTrouble::default(),
        users_seen: None,
        proven: false,
        plan: None,
        held: None,
        created: 0,
        updated: 0,
        reactivated: 0,
        deactivated: Vec::new(),
        switched_on_again: Vec::new(),
        left_alone: Vec::new(),
        contradicted: Vec::new(),
        awaiting: Vec::new(),
        errors: Vec::new(),
        rung_again: 0,
        idle_messages: 0,
        reverted: None,
    };
    for line in lines {
        story.add(line)?;
    }
    story.finish();
    Ok(story)
}

/// The lease with this token, made if its grant was not told of yet.
fn lease(leases: &mut Vec<Lease>, token: u64) -> &mut Lease {
    let at = leases.partition_point(|lease| lease.token < token);
    if leases.get(at).is_none_or(|lease| lease.token != token) {
        let lease = Lease {
            token,
            ..Lease::default()
        };
        leases.insert(at, lease);
    }
    &mut leases[at]
}

fn granted(leases: &mut Vec<Lease>, line: &Line) -> Result<(), BadLine> {
    let taken_from = line.count_if_any("from_token")?;
    let granted = lease(leases, line.count("token")?);
    granted.owner = line.text("owner")?;
    granted.step = line.text_if_any("step")?;
    granted.since = Some(line.at);
    granted.taken_from = taken_from;
    granted.lease_ms = line.count_if_any("lease_ms")?;
    if let Some(from) = taken_from {
        let from = lease(leases, from);
        from.clocks_differ = clocks_differ(from, line.at);
        if from.owner.is_empty() {
            from.owner = line.text_if_any("from_owner")?.unwrap_or_default();
        }
        if from.ended == LeaseEnd::Unknown {
            from.ended = LeaseEnd::TakenOver;
            from.until = Some(line.at);
        }
    }
    Ok(())
}

/// Whether a lease that was taken over at this time was so too early by its holder's clock: long before
/// it could have lapsed, or after he had noticed it. Half a lease is left for what lies between an act
/// and its line.
fn clocks_differ(from: &Lease, taken_at: Timestamp) -> bool {
    let (Some(since), Some(lease_ms)) = (from.since, from.lease_ms) else {
        return false;
    };
    let half_ms = i64::try_from(lease_ms / 2).unwrap_or(i64::MAX);
    let until_taken_ms = |at: Timestamp| taken_at.as_millisecond() - at.as_millisecond();
    let lost_at = from.until.filter(|_| from.ended == LeaseEnd::Lost);
    until_taken_ms(since) < half_ms || lost_at.is_some_and(|at| until_taken_ms(at) > half_ms)
}

fn ended(leases: &mut Vec<Lease>, line: &Line, how: LeaseEnd) -> Result<(), BadLine> {
    let ended = lease(leases, line.count("token")?);
    // These two events come of nothing else.
    let always = matches!(line.event.as_str(), "run_not_failed" | "revert_lease_lost");
    ended.fenced |= line.flag_if_any("fenced")?.unwrap_or(always);
    // A run's end is said before the batches are revoked, and an error may follow.
    if matches!(ended.ended, LeaseEnd::Unknown | LeaseEnd::TakenOver) {
        ended.ended = how;
        ended.until = Some(line.at);
    }
    Ok(())
}

impl Page {
    /// Nothing is known of it but that it was there.
    fn at((generation, page): (u32, u32)) -> Self {
        Self {
            generation,
            page,
            state: "OPEN",
            ..Self::default()
        }
    }
}

impl Story {
    fn add(&mut self, line: &Line) -> Result<(), BadLine> {
        match line.event.as_str() {
            "run_leased" => {
                self.mode = line.text_if_any("mode")?.or(self.mode.take());
                let revision = line.count_if_any("settings_revision")?;
                self.settings_revision = revision.or(self.settings_revision);
                granted(&mut self.leases, line)?;
                // The commit of a function that died right after it is told of by its successor alone.
                if let place @ (_, 1..) = line.place()? {
                    self.page_at(place);
                }
            }
            "run_passed_on" | "batches_open" => {
                ended(&mut self.leases, line, LeaseEnd::PassedOn)?;
            }
            "lease_lost" | "run_not_failed" => ended(&mut self.leases, line, LeaseEnd::Lost)?,
            "run_closed" => ended(&mut self.leases, line, LeaseEnd::Done)?,
            "run_failed" => {
                self.end(line, End::Failed)?;
                self.reason = Some(line.text("reason")?);
                self.detail = Some(line.text("detail")?);
            }
            "run_completed" => self.completed(line)?,
            "run_held" => self.held(line)?,
            "hold_approved" => self.ruled("approved", End::Unknown),
            "hold_rejected" => self.ruled("rejected", End::Rejected),
            "hold_superseded" => self.ruled("superseded", End::Superseded),
            "hold_lapsed" => self.ruled("lapsed", End::Superseded),
            "plan_released" => {
                let stays = line.count("stays")?;
                if let Some(held) = &mut self.held {
                    held.stays = Some(stays);
                }
            }
            "message_failed" | "sweep_failed" => {
                self.errors.push(line.text("error")?);
                if line.count_if_any("page")?.is_some() {
                    self.failed_batch(line)?;
                }
            }
            // A run's bells ring for good measure; a batch has one.
            "nothing_to_do" => {
                self.idle_messages += u64::from(line.count_if_any("page")?.is_some());
            }
            event if event.starts_with("revert_") || event == "users_restored" => {
                self.taken_back(line)?;
            }
            event if event.starts_with("batch_") || event == "users_written" => {
                self.batch(line)?;
            }
            event if event.starts_with("user_") || event.starts_with("absence_") => {
                self.user(line)?;
            }
            "candidate_contradicted" | "evidence_gone" => self.user(line)?,
            "candidate_unanswered" | "leaver_contradicted" | "leaver_unanswered" => {
                self.user(line)?;
            }
            _ => self.enumeration(line)?,
        }
        Ok(())
    }

    fn enumeration(&mut self, line: &Line) -> Result<(), BadLine> {
        match line.event.as_str() {
            "page_committed" => self.page_committed(line)?,
            "generation_restarted" => {
                let generation = line.small("generation")?;
                self.generation = self.generation.max(generation);
                self.generations.push(Generation {
                    generation,
                    because: line.text("error")?,
                });
            }
            "link_freshened" => self.graph.links_freshened += 1,
            "delta_left_out" => self.graph.delta_left_out = true,
            "graph_asked_again" => {
                self.graph.asked_again += 1;
                let status = line.count_if_any("status")?;
                self.graph.throttled += u64::from(status == Some(TOO_MANY_REQUESTS));
                let wait_ms = line.count("wait_ms")?;
                self.graph.waited_ms += wait_ms;
                self.graph.waits.push(Wait {
                    at: line.at,
                    operation: line.text("operation")?,
                    status,
                    wait_ms,
                });
            }
            "graph_answered" => self.graph.answers.push(Answer {
                at: line.at,
                operation: line.text("operation")?,
                status: line.count("status")?,
                took_ms: line.count("took_ms")?,
            }),
            "run_proven" => {
                self.proven = true;
                self.users_seen = Some(line.count("users_seen")?);
            }
            "plan_made" => {
                self.plan = Some(Plan {
                    hash: line.text("plan")?,
                    deactivations: line.count("deactivations")?,
                    disabled: line.count("disabled")?,
                    deleted: line.count("deleted")?,
                    not_found: line.count("not_found")?,
                    out_of_scope: line.count("out_of_scope")?,
                    active: line.count("active")?,
                    users_seen: line.count("users_seen")?,
                    users_seen_before: line.count_if_any("users_seen_before")?,
                    absent: line.count("absent")?,
                    contradicted: line.count("contradicted")?,
                    awaiting_confirmation: line.count("awaiting_confirmation")?,
                });
            }
            // Lines of later versions, and those that add nothing here.
            _ => {}
        }
        Ok(())
    }

    fn page_at(&mut self, place: (u32, u32)) -> &mut Page {
        let at = |it: &Page| (it.generation, it.page);
        let index = self.pages.partition_point(|it| at(it) < place);
        if self.pages.get(index).is_none_or(|it| at(it) != place) {
            self.pages.insert(index, Page::at(place));
        }
        &mut self.pages[index]
    }

    fn page_committed(&mut self, line: &Line) -> Result<(), BadLine> {
        let (is_last, token) = (line.flag("last")?, line.count("token")?);
        let page = self.page_at(line.place()?);
        page.committed_at = Some(line.at);
        page.token = Some(token);
        page.is_delta = line.flag("delta")?;
        page.is_last = is_last;
        page.users = line.count("users")?;
        page.changed = line.count("changed")?;
        page.graph_request_id = line.text_if_any("graph_request_id")?;
        page.took_ms = line.count("took_ms")?;
        // Nobody changed: its batch is born done.
        if page.changed == 0 {
            page.state = "DONE";
        }
        if is_last {
            ended(&mut self.leases, line, LeaseEnd::Done)?;
        }
        Ok(())
    }

    fn batch(&mut self, line: &Line) -> Result<(), BadLine> {
        let page = self.page_at(line.place()?);
        match line.event.as_str() {
            "batch_leased" => granted(&mut page.leases, line)?,
            "batch_lease_lost" => ended(&mut page.leases, line, LeaseEnd::Lost)?,
            "batch_rung_again" => self.rung_again += 1,
            "batch_passed_on" => ended(&mut page.leases, line, LeaseEnd::PassedOn)?,
            "users_written" => page.written += line.count("users")?,
            "batch_done" => {
                ended(&mut page.leases, line, LeaseEnd::Done)?;
                page.state = "DONE";
                page.created = line.count("created")?;
                page.updated = line.count("updated")?;
                page.reactivated = line.count("reactivated")?;
                page.candidates = line.count("candidates")?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The last lease of a batch whose message failed ended so.
    fn failed_batch(&mut self, line: &Line) -> Result<(), BadLine> {
        if let Some(last) = self.page_at(line.place()?).leases.last_mut()
            && last.ended == LeaseEnd::Unknown
        {
            last.ended = LeaseEnd::Error;
            last.until = Some(line.at);
        }
        Ok(())
    }

    fn user(&mut self, line: &Line) -> Result<(), BadLine> {
        let id = line.text("id")?;
        match line.event.as_str() {
            "user_deactivated" | "user_deactivated_before" => {
                self.deactivated.push(Changed {
                    id,
                    reason: line.text("reason")?,
                    evidence: Some(line.text("evidence")?),
                });
            }
            "user_reactivated" => self.switched_on_again.push(Changed {
                id,
                reason: line.text("was")?,
                evidence: None,
            }),
            "user_left_alone" => self.left_alone.push(id),
            "absence_contradicted" | "candidate_contradicted" | "leaver_contradicted" => {
                self.contradicted.push(id);
            }
            "absence_awaits"
            | "absence_unanswered"
            | "candidate_unanswered"
            | "leaver_unanswered" => {
                self.awaiting.push(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, line: &Line, end: End) -> Result<(), BadLine> {
        self.state = end;
        ended(&mut self.leases, line, LeaseEnd::Done)
    }

    fn completed(&mut self, line: &Line) -> Result<(), BadLine> {
        self.end(line, End::Completed)?;
        self.users_seen = Some(line.count("users_seen")?);
        self.created = line.count("created")?;
        self.updated = line.count("updated")?;
        self.reactivated = line.count("reactivated")?;
        Ok(())
    }

    fn held(&mut self, line: &Line) -> Result<(), BadLine> {
        self.end(line, End::Held)?;
        self.held = Some(Hold {
            guard: line.text("guard")?.to_ascii_lowercase(),
            limit: line.decimal("limit")?,
            value: line.decimal("value")?,
            plan: line.text("plan")?,
            deactivations: line.count("deactivations")?,
            ruling: None,
            stays: None,
        });
        Ok(())
    }

    fn ruled(&mut self, how: &'static str, end: End) {
        self.state = end;
        if let Some(held) = &mut self.held {
            held.ruling = Some(how);
        }
    }

    fn taken_back(&mut self, line: &Line) -> Result<(), BadLine> {
        let revert = self.reverted.get_or_insert_with(Revert::default);
        match line.event.as_str() {
            "revert_leased" => granted(&mut revert.leases, line)?,
            "users_restored" => revert.restored += line.count("users")?,
            "revert_lease_lost" => ended(&mut revert.leases, line, LeaseEnd::Lost)?,
            "revert_ended" => {
                revert.ended = true;
                ended(&mut revert.leases, line, LeaseEnd::Done)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A chain has no gaps: where a line is missing, the page was there all the same. A list that was
    /// proven whole has no open batch.
    fn fill_gaps(&mut self) {
        let mut missing = Vec::new();
        let mut last = (0, 0);
        for page in &self.pages {
            let from = if page.generation == last.0 { last.1 } else { 0 };
            missing.extend((from + 1..page.page).map(|it| Page::at((page.generation, it))));
            last = (page.generation, page.page);
        }
        self.pages.extend(missing);
        self.pages.sort_by_key(|it| (it.generation, it.page));
        let (is_proven, generation) = (self.proven, self.generation);
        for page in &mut self.pages {
            if is_proven && page.generation == generation {
                page.state = "DONE";
            }
        }
    }

    /// What is told once all lines are there: the sums of a run that has no end to tell them, and
    /// lists in an order of their own.
    fn finish(&mut self) {
        let generations = self.pages.iter().map(|page| page.generation);
        self.generation = generations.max().unwrap_or(1).max(self.generation);
        self.fill_gaps();
        if self.state != End::Completed {
            let sum = |of: fn(&Page) -> u64| self.pages.iter().map(of).sum();
            (self.created, self.updated) = (sum(|it| it.created), sum(|it| it.updated));
            self.reactivated = sum(|it| it.reactivated);
        }
        self.deactivated.sort();
        // Whoever went on with the run told again of whom it found switched off.
        self.deactivated.dedup_by(|a, b| a.id == b.id);
        self.switched_on_again.sort();
        for ids in [
            &mut self.left_alone,
            &mut self.contradicted,
            &mut self.awaiting,
        ] {
            ids.sort();
            ids.dedup();
        }
    }
}
