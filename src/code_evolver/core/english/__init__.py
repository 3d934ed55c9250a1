"""Plain English to connector settings by strict rules: `reading.read`, `answers.check_answer`, `durations.parse_duration`."""
