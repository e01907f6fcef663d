package postgresserver

// Newest is exported for tests with another folder than Debian's.
var Newest = newest
