"""The heart: steps, the chain, judging, policies, schedules and the loop that draws on them."""
