package postgresserver

// Newest lets the tests look in another folder than Debian's.
var Newest = newest
