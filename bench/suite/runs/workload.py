"""What clients do in a run: how many there are, what they send, and the flags that ask the load generator for it."""

from __future__ import annotations

from dataclasses import dataclass

VIDEO_KBPS = 2200
PAYLOAD_BYTES = 1100
FRAMES_PER_SECOND = 30
AUDIO_PACKETS_PER_SECOND = 50
AUDIO_BYTES = 120


@dataclass(frozen=True)
class Workload:
    """Publishers and subscribers of one run."""

    label: str
    publishers: int = 1
    subscribers: int = 1
    rooms: int = 1
    mesh: int = 0
    video_kbps: int = VIDEO_KBPS
    frames_per_second: int = FRAMES_PER_SECOND
    audio_only: bool = False
    lines: int = 1

    def flags(self) -> list[str]:
        """The flags of the load generator for this workload."""
        if self.mesh:
            flags = ["--mesh", str(self.mesh)]
        else:
            flags = ["--publishers", str(self.publishers), "--subscribers", str(self.subscribers)]
        if self.rooms > 1:
            flags += ["--rooms", str(self.rooms)]
        if self.lines > 1:
            flags += ["--lines", str(self.lines)]
        if self.audio_only:
            return flags + ["--audio-only", "--audio-bytes", str(AUDIO_BYTES)]
        video = ["--video-kbps", str(self.video_kbps), "--fps", str(self.frames_per_second)]
        return flags + video + ["--payload", str(PAYLOAD_BYTES)]

    def streams(self) -> int:
        """Streams that arrive somewhere: each packet of a publisher leaves the server this often."""
        if self.mesh:
            return self.mesh * (self.mesh - 1)
        return self.rooms * self.publishers * self.subscribers

    def clients(self) -> int:
        return self.mesh or self.rooms * (self.publishers + self.subscribers)

    def packets_per_second(self) -> int:
        """Packets of one publisher in a second."""
        if self.audio_only:
            return AUDIO_PACKETS_PER_SECOND
        return self.video_kbps * 1000 // 8 // PAYLOAD_BYTES

    def forwarded_per_second(self) -> int:
        """Packets that leave the server in a second."""
        return self.packets_per_second() * self.streams()

    def run_seconds(self, measured: float) -> float:
        """About how long a run takes: start, connecting, warming up, measuring, draining, stop."""
        lines = self.streams() * self.lines if self.lines > 1 else 0
        return measured + 2.0 + 0.006 * self.clients() + 0.0012 * lines


def audio(subscribers: int) -> Workload:
    """One publisher of sound and so many subscribers."""
    return Workload(f"audio 1 → {subscribers}", subscribers=subscribers, audio_only=True)


def fan_out(subscribers: int, **more: object) -> Workload:
    """One publisher of video and so many subscribers."""
    return Workload(f"1 → {subscribers}", subscribers=subscribers, **more)
