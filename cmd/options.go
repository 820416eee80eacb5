package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"github.com/soundcheck-io/latency-operator/internal/environ"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// options are the operator's settings: a flag each, or the variable named beside it. Secrets have no flag, because
// everybody on a machine can read the arguments of its processes.
type options struct {
	SupabaseURL     string `env:"SUPABASE_URL" help:"URL of the Supabase project; its REST API is below it at /rest/v1." placeholder:"URL"`
	KeyFile         string `name:"supabase-service-role-key-file" env:"SUPABASE_SERVICE_ROLE_KEY_FILE" help:"File with the key, in place of the variable SUPABASE_SERVICE_ROLE_KEY. It is read again when it changes." placeholder:"FILE"`
	AccessTokenFile string `name:"supabase-access-token-file" env:"SUPABASE_ACCESS_TOKEN_FILE" help:"File with the JWT of a role with fewer rights, in place of the variable SUPABASE_ACCESS_TOKEN. It is read again when it changes." placeholder:"FILE"`

	CAFile string `name:"supabase-ca-file" env:"SUPABASE_CA_FILE" help:"PEM file with certificate authorities that count for Supabase beside the system's, as where a proxy opens TLS. It is read again when it changes, and may be missing or empty until then." placeholder:"FILE"`

	PollerBaseURL      string        `env:"POLLER_BASE_URL" default:"http://phoenix.polling.corp.cableone.net:4402" help:"SpreeDB." placeholder:"URL"`
	PollerThroughProxy bool          `env:"POLLER_THROUGH_PROXY" help:"Send polls through HTTP_PROXY and its like."`
	PollInterval       millis        `name:"poll-interval-ms" env:"POLL_INTERVAL_MS" default:"5000" help:"How often the jobs table is looked at, in milliseconds."`
	FullSyncInterval   time.Duration `default:"60s" help:"How often all running rows are compared with the LatencyJobs, which is what finds deleted rows. In between only those are read that have changed, if the database can tell."`
	PollTimeout        millis        `name:"poll-timeout-ms" env:"POLL_TIMEOUT_MS" default:"10000" help:"How long one latency request may take, in milliseconds."`
	MaxPollsInFlight   int           `default:"5000" help:"How many latency requests may run at once. Jobs beyond that wait, the one polled longest ago first; a slot that ends meanwhile stays unmeasured with the reason Overload."`
	MaxPollsPerSecond  float64       `default:"10000" help:"How many latency requests may begin in a second; what is beyond that waits likewise."`

	Namespace             string        `env:"POD_NAMESPACE" help:"The one namespace that holds the LatencyJobs. Default: the pod's own, else the kubeconfig's, else default." placeholder:"NAME"`
	Kubeconfig            string        `env:"KUBECONFIG" help:"The cluster, where the operator runs outside one." placeholder:"FILE"`
	KeepFinished          time.Duration `default:"24h" help:"How long a LatencyJob stays visible after its job has ended."`
	StatusWritesPerSecond float64       `default:"10" help:"How many statuses may be written to the API server in a second; transitions go first."`

	SpoolDir      string        `env:"SPOOL_DIR" help:"Folder for samples that Supabase does not have yet; they survive the end of the process as long as the folder does. Default: /var/spool/soundcheck, else soundcheck-spool in the temporary folder." placeholder:"FOLDER"`
	SpoolLimit    int64         `name:"spool-limit-mib" env:"SPOOL_LIMIT_MIB" default:"512" help:"How much disk they take at most, in MiB; the oldest are given up for newer ones."`
	SpoolLimitAge time.Duration `default:"168h" help:"How long a sample waits at most; what is older is given up."`
	OutboxLimit   int           `default:"500000" help:"How many samples are held in memory at most while the folder cannot be used."`
	LastPingTrail time.Duration `default:"30s" help:"How far the jobs' last_ping_at may lag in a large installation."`

	MetricsBindAddress     string        `default:"0" help:"Where metrics are served, such as :8443; 0 serves none." placeholder:"ADDRESS"`
	MetricsSecure          bool          `default:"true" negatable:"" help:"Serve metrics over TLS, and only to whoever the API server says may read /metrics."`
	MetricsCertDir         string        `help:"Folder with tls.crt and tls.key for the metrics, read again when they change. Default: a self-signed certificate." placeholder:"FOLDER"`
	HealthProbeBindAddress string        `default:"0" help:"Where /healthz and /readyz are served, such as :8081; 0 serves none." placeholder:"ADDRESS"`
	PprofBindAddress       string        `default:"0" help:"Where profiles of the process are served at /debug/pprof, such as 127.0.0.1:6060; 0 serves none. Whoever can reach it can see inside." placeholder:"ADDRESS"`
	ShutdownTimeout        time.Duration `default:"30s" help:"How long polls in flight and unsent samples may take at the end. The pod's grace period must be longer."`

	LogLevel  string           `default:"info" enum:"info,debug" help:"info, or debug to see each poll."`
	LogFormat string           `default:"json" enum:"json,console" help:"json, or console for people."`
	Version   kong.VersionFlag `help:"Print the version."`

	// Secrets, from the environment.
	key, accessToken string
}

// millis is a time given as a number of milliseconds.
type millis time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *millis) UnmarshalText(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 100 || n > 3_600_000 {
		return errors.New("give a whole number of milliseconds from 100 to 3600000")
	}
	*m = millis(time.Duration(n) * time.Millisecond)
	return nil
}

// program is the settings and what to do with them.
type program struct {
	options
	Run    struct{}      `cmd:"" default:"1" help:"Operate, which is what it does without a command."`
	Doctor doctorOptions `cmd:"" help:"Find out what is wrong around the operator, and what to do about it. It changes nothing, and ends with 1 if something is wrong."`
}

// parse reads arguments and environment. The settings are not checked yet. With the command doctor there is a program also where they
// cannot be read.
func parse(args []string) (p *program, command string, err error) {
	environ.DropEmpty()
	p = &program{options: options{key: os.Getenv("SUPABASE_SERVICE_ROLE_KEY"), accessToken: os.Getenv("SUPABASE_ACCESS_TOKEN")}}
	parser, err := kong.New(p, kong.Name("latency-operator"),
		kong.Description("Measures the latency of Sound Check's jobs: mirrors them from Supabase into LatencyJobs, polls SpreeDB, and stores the samples."),
		kong.UsageOnError(), kong.Vars{"version": buildVersion()})
	if err != nil {
		return nil, "", err
	}
	parsed, err := parser.Parse(args)
	if err == nil {
		return p, parsed.Command(), nil
	}
	if !slices.Contains(args, "doctor") {
		return nil, "", err
	}
	// A setting that cannot be read is one more thing to tell, if the rest can be.
	var only struct {
		Doctor doctorOptions `cmd:""`
	}
	if parser, failed := kong.New(&only); failed != nil {
		return nil, "", failed
	} else if _, failed := parser.Parse(args); failed != nil {
		return nil, "", err
	}
	p.Doctor = only.Doctor
	return p, "doctor", err
}

// check finds what is missing or cannot work, in one sentence that names the variable.
func (o *options) check() error {
	if err := supabase.CheckURL(o.SupabaseURL); err != nil {
		return err
	}
	switch {
	case o.key == "" && o.KeyFile == "":
		return supabase.ErrNoKey
	case o.key != "" && o.KeyFile != "":
		return errors.New("both SUPABASE_SERVICE_ROLE_KEY and SUPABASE_SERVICE_ROLE_KEY_FILE are set: give one of them")
	case o.accessToken != "" && o.AccessTokenFile != "":
		return errors.New("both SUPABASE_ACCESS_TOKEN and SUPABASE_ACCESS_TOKEN_FILE are set: give one of them")
	}
	for _, positive := range []struct {
		flag string
		ok   bool
	}{
		{"max-polls-in-flight", o.MaxPollsInFlight > 0},
		{"max-polls-per-second", o.MaxPollsPerSecond > 0},
		{"full-sync-interval", o.FullSyncInterval > 0},
		{"keep-finished", o.KeepFinished > 0},
		{"status-writes-per-second", o.StatusWritesPerSecond > 0},
		{"outbox-limit", o.OutboxLimit > 0},
		{"spool-limit-mib", o.SpoolLimit > 0},
		{"spool-limit-age", o.SpoolLimitAge > 0},
		{"last-ping-trail", o.LastPingTrail > 0},
		{"shutdown-timeout", o.ShutdownTimeout > 0},
	} {
		if !positive.ok {
			return fmt.Errorf("--%s must be more than zero", positive.flag)
		}
	}
	return nil
}
