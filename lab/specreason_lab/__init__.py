"""The lab: makes, trains, measures and exports the pocket pair."""
