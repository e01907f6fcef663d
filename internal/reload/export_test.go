package reload

// Watch is what [Start] runs, for tests in a time of their own, with signals of their own.
var Watch = watch
