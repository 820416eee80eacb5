// Package stack runs everything around the operator on 127.0.0.1: etcd and kube-apiserver with the CRD, PostgreSQL with
// Supabase's roles and the migrations, the gateway of the REST API, a SpreeDB that can be told what to answer, and, when
// asked, the operator's own binary. It is for the demo, for tests of the whole system, for benchmarks and for outage
// experiments.
//
// Everything it starts ends with this process, also when this process is killed, and nothing is left on disk. The one
// exception: PostgreSQL's data of a killed process stay until the next start sweeps them.
package stack

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/child"
	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// DefaultNamespace is where the operator works unless Options say otherwise.
const DefaultNamespace = "latency-operator-system"

// Options of a Stack; the zero value is a fresh stack on free ports.
type Options struct {
	// Assets is the folder with kube-apiserver, etcd and kubectl; empty asks Assets.
	Assets string
	// Namespace is made, and is the kubeconfig's; empty is DefaultNamespace.
	Namespace string
	// Build compiles the operator meanwhile, into Binary; Version is what it says it is.
	Build   bool
	Version string
	// WithoutMigrations gives the database the app's own tables and nothing of the operator's.
	WithoutMigrations bool
	// WithoutSupabase leaves PostgreSQL and the gateway out: OperatorOptions.Env has to name another project.
	WithoutSupabase bool
	// RealPostgREST puts the program postgrest behind the gateway if it is on the PATH, in place of the stand-in.
	RealPostgREST bool
	// Gateway changes the gateway's options before it starts. Its database is the stack's.
	Gateway func(*supabasetest.Options)
	// SpreeDB is how SpreeDB answers.
	SpreeDB spreedbtest.Options
	// Log receives what hack/assets.sh and the compiler have to say; nil drops it. What the servers print is in files below Dir.
	Log io.Writer
	// Progress is told, in a few words, what is ready. It may be called from several goroutines at once.
	Progress func(part, where string)
}

// Stack is what runs. Its fields are set by Start and not changed after.
type Stack struct {
	// Root is the repository, Dir a temporary directory that goes with the stack.
	Root, Dir string
	// Namespace is the operator's.
	Namespace string
	// Binary is the operator's program, if Options asked for it.
	Binary string

	// Config, Client and the file Kubeconfig lead to the API server as its administrator.
	Config     *rest.Config
	Client     client.Client
	Kubeconfig string
	// Kubectl is the path of a kubectl.
	Kubectl string

	// Postgres is the database server and DSN the connection string of its superuser for the database. Without Supabase
	// these are empty, and Gateway is nil.
	Postgres *pgtest.Server
	DSN      string
	// Gateway is the Supabase project. RealPostgREST tells what is behind it.
	Gateway       *supabasetest.Server
	RealPostgREST bool

	// SpreeDB answers at SpreeDBServer.URL.
	SpreeDB       *spreedbtest.SpreeDB
	SpreeDBServer *spreedbtest.Server

	opts      Options
	warden    *warden
	cluster   *cluster
	postgrest *child.Process

	mu        sync.Mutex
	operators []*Operator
	closing   sync.Once
}

// Start returns when everything answers, after some ten seconds. When ctx ends before that, what was started is stopped;
// afterwards ctx does not matter.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	if opts.Namespace == "" {
		opts.Namespace = DefaultNamespace
	}
	if opts.Progress == nil {
		opts.Progress = func(string, string) {}
	}
	s := &Stack{opts: opts, Namespace: opts.Namespace}
	if err := s.start(ctx); err != nil {
		s.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the start was cut short: %w", ctx.Err())
		}
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) (err error) {
	if s.Root, err = Root(); err != nil {
		return err
	}
	assets := s.opts.Assets
	if assets == "" {
		if assets, err = Assets(ctx, s.opts.Log); err != nil {
			return err
		}
	}
	s.Kubectl = filepath.Join(assets, "kubectl")
	if s.warden, err = newWarden(); err != nil {
		return err
	}
	s.Dir = s.warden.dir
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return s.startCluster(ctx, assets) })
	if !s.opts.WithoutSupabase {
		parts.Go(func() error { return s.startSupabase(ctx) })
	}
	parts.Go(s.startSpreeDB)
	if s.opts.Build {
		parts.Go(func() error { return s.build(ctx) })
	}
	return parts.Wait()
}

func (s *Stack) startSpreeDB() (err error) {
	s.SpreeDB = spreedbtest.New(s.opts.SpreeDB)
	if s.SpreeDBServer, err = s.SpreeDB.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	s.opts.Progress("SpreeDB simulator", s.SpreeDBServer.URL)
	return nil
}

func (s *Stack) build(ctx context.Context) (err error) {
	if s.Binary, err = Build(ctx, s.Dir, s.opts.Version, s.opts.Log); err != nil {
		return err
	}
	s.opts.Progress("operator", "compiled from ./cmd")
	return nil
}

func (s *Stack) startCluster(ctx context.Context, assets string) (err error) {
	if s.cluster, err = startCluster(ctx, s.warden, assets, filepath.Join(s.Root, "config", "crd", "bases")); err != nil {
		return err
	}
	s.Config = s.cluster.config
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return err
	}
	if s.Client, err = client.New(s.Config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make a client for the API server: %w", err)
	}
	if err := makeNamespace(ctx, s.Client, s.Namespace); err != nil {
		return err
	}
	s.Kubeconfig = filepath.Join(s.Dir, "kubeconfig")
	if err := writeKubeconfig(s.Kubeconfig, s.Config, s.Namespace); err != nil {
		return err
	}
	s.opts.Progress("etcd and kube-apiserver", s.Config.Host)
	return nil
}

// Connect opens a connection to the database, as its superuser.
func (s *Stack) Connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return conn, nil
}

// Close stops the operators, then what they stand on, and removes the files. It may be called again.
func (s *Stack) Close() {
	s.closing.Do(s.close)
}

func (s *Stack) close() {
	s.mu.Lock()
	operators := s.operators
	s.mu.Unlock()
	var parts sync.WaitGroup
	for _, o := range operators {
		parts.Go(o.giveUp)
	}
	parts.Wait()
	parts.Go(s.closeSupabase)
	if s.SpreeDBServer != nil {
		parts.Go(s.SpreeDBServer.Close)
	}
	if s.cluster != nil {
		parts.Go(s.cluster.stop)
	}
	parts.Wait()
	if s.warden != nil {
		s.warden.close()
	}
}

// logFile makes a file below Dir for what a program prints.
func (s *Stack) logFile(name string) (*os.File, error) {
	f, err := os.Create(filepath.Join(s.Dir, name))
	if err != nil {
		return nil, fmt.Errorf("make a log file: %w", err)
	}
	return f, nil
}
