"""What a release may promise of its answers: that it errs seldom where it answers, and how often it does not answer."""
