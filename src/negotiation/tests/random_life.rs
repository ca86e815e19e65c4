//! Lives at random, by seeds: whatever happens in whatever order, both sides and the engine go on.

use super::engine::Engine;
use super::*;

/// Numbers by a linear congruential generator.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        (!list.is_empty()).then(|| list[self.below(list.len())].clone())
    }
}

struct Life {
    dice: Dice,
    session: Negotiation,
    client: Client,
    engine: Engine,
    sources: Vec<RemoteSource>,
    restarts: u32,
    next: u64,
    /// Sources that flowed and have ended.
    burnt: Vec<u32>,
    flowing: Vec<u32>,
}

impl Life {
    fn new(seed: u64, sources: &[RemoteSource]) -> Self {
        let mut dice = Dice(seed);
        let style = dice.pick(&[Style::Chromium, Style::Firefox, Style::Aiortc]).unwrap();
        Self {
            dice,
            session: session(),
            client: Client::new(style),
            engine: Engine::new(),
            sources: sources.to_vec(),
            restarts: 0,
            next: 1,
            burnt: Vec::new(),
            flowing: Vec::new(),
        }
    }

    fn source(&mut self) -> RemoteSource {
        let mut source = self.dice.pick(&self.sources).unwrap();
        self.next += 1;
        source.publication = PublicationId(self.next);
        source
    }

    fn step(&mut self) {
        match self.dice.below(10) {
            0..=3 => self.client_offers(),
            4..=6 => self.we_offer(),
            7 => self.lose_our_offer(),
            _ => self.change_without_description(),
        }
        self.check();
    }

    fn client_offers(&mut self) {
        let live: Vec<String> =
            self.client.lines.iter().filter(|line| !line.stopped).map(|line| line.mid.clone()).collect();
        for _ in 0..self.dice.below(3) {
            let kind = self.dice.pick(&[MediaKind::Audio, MediaKind::Video]).unwrap();
            let directions = [Direction::SendOnly, Direction::SendRecv, Direction::RecvOnly];
            let direction = self.dice.pick(&directions).unwrap();
            let mid = self.client.add(kind, direction);
            if kind == MediaKind::Video && self.dice.below(3) == 0 {
                self.client.line(&mid).rids = vec!["a", "b"];
            }
        }
        if self.dice.below(2) == 0
            && let Some(mid) = self.dice.pick(&live)
        {
            self.client.stop(&mid);
        }
        if self.dice.below(6) == 0 {
            self.restarts += 1;
            self.client.ufrag = format!("r{}", self.restarts);
        }
        let mut minted = 0;
        let summary = self.session.client_offer(&self.client.offer(), &mut || {
            minted += 1;
            credentials("fresh")
        });
        assert!(minted <= 1);
        for section in summary.unwrap().sections {
            if section.sends && self.dice.below(3) > 0 {
                self.next += 1;
                self.session.bind_local(&section.mid, PublicationId(self.next)).unwrap();
            }
            if section.receives && self.dice.below(2) == 0 {
                let source = self.source();
                let _ = self.session.bind_remote(source, Place::FirstFree);
            }
        }
        answer(&mut self.session, &mut self.client);
    }

    fn bind_offered(&mut self) {
        if self.dice.below(4) == 0 {
            let kind = self.dice.pick(&[MediaKind::Audio, MediaKind::Video]).unwrap();
            let bidirectional = self.dice.below(2) == 0;
            let mid = self.session.add_offered_local(kind, bidirectional).unwrap();
            self.next += 1;
            self.session.bind_local(&mid, PublicationId(self.next)).unwrap();
        } else {
            let source = self.source();
            self.session.bind_remote(source, Place::Offered).unwrap();
        }
    }

    fn we_offer(&mut self) {
        for _ in 0..=self.dice.below(3) {
            self.bind_offered();
        }
        let offer = self.session.create_offer();
        let refused = self.dice.below(12);
        let first = self.client.lines.len();
        let answer = self.client.answer_if(&offer, |section| {
            refused > 0 || !section.mid.parse::<usize>().is_ok_and(|mid| mid >= first && mid % 2 == 1)
        });
        self.session.client_answer(&answer).unwrap();
    }

    fn lose_our_offer(&mut self) {
        self.bind_offered();
        let offer = self.session.create_offer();
        if self.dice.below(2) == 0 {
            self.client.answer(&offer);
        }
        if self.dice.below(2) == 0 {
            self.session.rollback();
        } else {
            self.client_offers();
        }
    }

    fn change_without_description(&mut self) {
        let states: Vec<_> = self.session.sections().collect();
        let Some(state) = self.dice.pick(&states) else { return };
        let source = self.source();
        match self.dice.below(4) {
            0 => drop(self.session.unbind_remote(&state.mid)),
            1 => drop(self.session.unbind_local(&state.mid)),
            2 => drop(self.session.switch_source(&state.mid, source)),
            _ => {
                let bound = self.session.bind_remote(source, Place::Existing(state.mid));
                if bound.is_ok() && self.session.needs_offer() {
                    let offer = self.session.create_offer();
                    let answer = self.client.answer(&offer);
                    self.session.client_answer(&answer).unwrap();
                }
            }
        }
    }

    fn check(&mut self) {
        let plan = self.session.plan();
        if !plan.transport.ingress_offer.is_empty() {
            self.engine.feed(&self.session);
        }
        let mut sources: Vec<u32> =
            plan.egress.iter().flat_map(|egress| [Some(egress.ssrc), egress.rtx_ssrc]).flatten().collect();
        self.burnt.extend(self.flowing.iter().filter(|ssrc| !sources.contains(ssrc)));
        assert!(!sources.iter().any(|ssrc| self.burnt.contains(ssrc)), "a source flows again");
        self.flowing.clone_from(&sources);
        let count = sources.len();
        sources.sort_unstable();
        sources.dedup();
        assert_eq!(sources.len(), count, "two sections send under one source");
        for egress in &plan.egress {
            let state = self.session.section_state(&egress.mid).unwrap();
            assert!(state.sends && !state.stopped && state.remote == Some(egress.publication));
            assert!(self.client.lines.iter().any(|line| line.mid == egress.mid && !line.stopped));
        }
        for ingress in &plan.ingress {
            assert!(self.client.lines.iter().any(|line| line.mid == ingress.mid && !line.stopped));
        }
    }
}

#[test]
fn every_seed_lives_on() {
    let styles = [Style::Chromium, Style::Firefox, Style::Aiortc];
    let sources: Vec<RemoteSource> = styles
        .iter()
        .flat_map(|style| [source(1, *style, MediaKind::Audio), source(2, *style, MediaKind::Video)])
        .collect();
    for seed in 0..16 {
        let mut life = Life::new(seed, &sources);
        for _ in 0..40 {
            life.step();
        }
    }
}
