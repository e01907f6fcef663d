package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

const description = `Acts as Allthings: sends signed webhook deliveries, and retries events that are not answered with a 2xx.

Without FILES it generates tickets in German and English: each is created and then changed a few times. With FILES it posts the bytes of the
files unchanged and prints each answer.

Examples:

  One hundred generated events for a gateway on this machine (the secret is that of GATEWAY_WEBHOOK_SECRET):
    simulator --events 100

  Events as the real sender delivers them on a bad day: in bursts, in any order, some twice:
    simulator --events 10000 --rate 500 --burst 50 --shuffle --duplicates 0.1

  The same events again:
    simulator --events 10000 --seed 42

  Bodies from files:
    simulator --secret-file data/webhook-secret internal/testkit/samples/created-*.json

The exit status is 0 if all events were acknowledged, 1 if not, and 2 for wrong usage.`

// envPrefix is the prefix of the names of the environment variables: --retry-base is SIMULATOR_RETRY_BASE.
const envPrefix = "SIMULATOR_"

// gatewaySecretEnv is the last source of the secret, so that a shell that is set up for the gateway works for the simulator too.
const gatewaySecretEnv = "GATEWAY_WEBHOOK_SECRET"

// appPrefix matches the prefix of a gateway secret that is for one App, <app id>=. The prefix is not part of the secret.
var appPrefix = regexp.MustCompile(`^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{24})=`)

type settings struct {
	Files []string `arg:"" optional:"" name:"files" help:"Post the bytes of these files, instead of generated events."`

	URL        []string `name:"url" default:"http://127.0.0.1:8080/webhook" help:"The webhook's URL. With several URLs, comma-separated, attempts go to each in turn."`
	Secret     string   `help:"The webhook's shared secret. An <app id>= before it is removed. Default: the first secret of GATEWAY_WEBHOOK_SECRET."`
	SecretFile string   `placeholder:"PATH" help:"Read the secret from the first line of this file that is not empty."`

	Events        int     `default:"100" help:"The number of events to generate."`
	Seed          *uint64 `help:"The seed of the events, their order and the duplicates. Default: a new seed for each run, so that runs do not repeat events."`
	Rate          float64 `default:"0" help:"Events a second, without retries. 0 means as fast as answers come."`
	Burst         int     `default:"1" help:"Send the events in groups of this size, at the same average rate."`
	Concurrency   int     `default:"16" help:"The maximum number of attempts in progress at the same time."`
	Duplicates    float64 `default:"0" placeholder:"SHARE" help:"Send this share of the events, from 0 to 1, a second time later."`
	Shuffle       bool    `help:"Send in a random order. Without a window, all events are held in memory."`
	ShuffleWindow int     `default:"0" placeholder:"N" help:"Shuffle, but let an event overtake at most about this many others."`

	RetryBase    time.Duration `default:"100ms" help:"The approximate delay before the first retry. It doubles with each retry."`
	RetryMax     time.Duration `default:"5s" help:"The maximum delay between retries."`
	GiveUpAfter  time.Duration `default:"0" help:"The maximum time for which an event is retried. 0 means 1m, instead of the provider's seven days; for FILES 5s."`
	TryTimeout   time.Duration `default:"10s" help:"The maximum time of one attempt."`
	RetryRefused bool          `help:"Retry FILES that are answered with a 4xx too, as Allthings does. Generated events are always retried."`
}

// parse reads the settings from the arguments, then from the environment. If help was asked for, it returns only the help text.
func parse(args []string, lookupEnv func(string) (string, bool)) (s settings, help string, err error) {
	var output bytes.Buffer
	helped := false
	parser, err := kong.New(&s,
		kong.Name("simulator"), kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{FlagsLast: true, WrapUpperBound: 120}),
		kong.Writers(&output, &output), kong.Exit(func(int) { helped = true }),
		kong.ValueFormatter(func(value *kong.Value) string {
			if value.Flag == nil || value.Name == "help" {
				return value.Help
			}
			return value.Help + " [$" + envName(value.Name) + "]"
		}),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			if value, ok := lookupEnv(envName(flag.Name)); ok && value != "" {
				return value, nil
			}
			return nil, nil
		})),
	)
	if err != nil {
		return s, "", err
	}
	_, err = parser.Parse(args)
	if helped {
		return s, output.String(), nil
	}
	if err != nil {
		return s, "", err
	}
	if err := s.findSecret(lookupEnv); err != nil {
		return s, "", err
	}
	return s, "", s.check()
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// findSecret sets the secret from its other sources if --secret is not set. It removes the App id before the secret.
func (s *settings) findSecret(lookupEnv func(string) (string, bool)) error {
	if s.Secret != "" && s.SecretFile != "" {
		return errors.New("set --secret or --secret-file, not both")
	}
	if s.SecretFile != "" {
		content, err := os.ReadFile(s.SecretFile)
		if err != nil {
			return fmt.Errorf("reading the secret: %w", err)
		}
		s.Secret, _, _ = strings.Cut(strings.TrimSpace(string(content)), "\n")
		s.Secret = strings.TrimSpace(s.Secret)
	}
	if s.Secret == "" {
		// The gateway may have several secrets while they are rotated. Each of them works.
		value, _ := lookupEnv(gatewaySecretEnv)
		first, _, _ := strings.Cut(value, ",")
		s.Secret = strings.TrimSpace(first)
	}
	s.Secret = appPrefix.ReplaceAllString(s.Secret, "")
	if s.Secret == "" {
		return fmt.Errorf("no secret: set --secret, --secret-file or %s to the one that the receiver has", gatewaySecretEnv)
	}
	return nil
}

// check finds problems that simulator.Send can't find. The error has all of them.
func (s *settings) check() error {
	var errs []error
	if s.Events < 0 || s.ShuffleWindow < 0 {
		errs = append(errs, errors.New("--events and --shuffle-window can't be negative"))
	}
	if s.Duplicates < 0 || s.Duplicates > 1 {
		errs = append(errs, fmt.Errorf("--duplicates %v is not from 0 to 1", s.Duplicates))
	}
	return errors.Join(errs...)
}
