"""Random cells against an oracle that shares no code; see docs/reliability.md."""
