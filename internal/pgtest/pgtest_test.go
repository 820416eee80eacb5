package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/gomega"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_HELPER") != "" {
		startAndHang()
		return
	}
	Main(m)
}

// startAndHang is the process that TestServerDiesWithItsParent kills.
func startAndHang() {
	s, err := Start(context.Background(), Options{})
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(s.dir + "\n")
	select {}
}

func query(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return string(results[len(results)-1].Rows[0][0])
}

// gone counts a process that has ended but that nobody has waited for as gone.
func gone(pid int) func() bool {
	return func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || err == nil && strings.Contains(string(stat), ") Z ")
	}
}

func postmasterPID(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestStopLeavesNeitherProcessNorFilesAndMayBeRepeated(t *testing.T) {
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if got := query(t, s.URL("postgres"), "show timezone"); got != "UTC" {
		t.Errorf("timezone %s, want UTC", got)
	}
	pid := postmasterPID(t, s.dir)
	s.Stop()
	s.Stop()
	if !gone(pid)() {
		t.Errorf("process %d still runs", pid)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("%s still exists: %v", s.dir, err)
	}
}

func TestCommittedDataSurvivesACrashOnTheSamePort(t *testing.T) {
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	if err := s.CreateDatabase(t.Context(), `odd "name"`); err != nil {
		t.Fatal(err)
	}
	dsn := s.URL(url.PathEscape(`odd "name"`))
	query(t, dsn, "create table t as select 'kept' as v; select 'ok'")
	port := s.Port()
	s.Kill()
	if _, err := pgx.Connect(t.Context(), dsn); err == nil {
		t.Fatal("connected to a killed server")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := query(t, dsn, "select v from t"); got != "kept" || s.Port() != port {
		t.Errorf("got %q on port %d, want kept on %d", got, s.Port(), port)
	}
}

func TestDirIsReusedAndKept(t *testing.T) {
	parent := publicDir(t)
	opts := Options{Dir: filepath.Join(parent, "data")}
	for _, want := range []string{"1", "2"} {
		s, err := Start(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		query(t, s.URL("postgres"), "create table if not exists runs (id int); insert into runs values (1); select 'ok'")
		if got := query(t, s.URL("postgres"), "select count(*)::text from runs"); got != want {
			t.Errorf("%s runs recorded, want %s", got, want)
		}
		s.Stop()
	}
}

// publicDir is a directory that the server's user can enter, which t.TempDir need not be.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgtest") //nolint:usetesting // t.TempDir is below a folder that the server's user may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestServerDiesWithItsParent(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("only Linux ends children with their parent")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGTEST_HELPER=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	dir = strings.TrimSpace(dir)
	pid := postmasterPID(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	g := NewWithT(t)
	g.Eventually(gone(pid)).WithTimeout(10 * time.Second).Should(BeTrue())

	removeOrphans(filepath.Dir(dir))
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s of a killed process was not swept: %v", dir, err)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	shared := Shared(t)
	plain := filepath.Join(publicDir(t), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	shut := filepath.Join(publicDir(t), "shut")
	if err := os.Mkdir(shut, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		opts     Options
		rootOnly bool
		want     string
	}{
		"a taken port":                      {Options{Port: shared.Port()}, false, "could not create any TCP/IP sockets"},
		"a file for a directory":            {Options{Dir: plain}, false, "not a directory"},
		"a directory that only root enters": {Options{Dir: filepath.Join(shut, "data")}, true, "may not enter " + shut},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.rootOnly && os.Geteuid() != 0 {
				t.Skip("needs root")
			}
			s, err := Start(t.Context(), tc.opts)
			if err == nil {
				s.Stop()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
		})
	}
}

func TestDatabasesOfTheSharedServerAreSeparate(t *testing.T) {
	var names []string
	for range 2 {
		server, name := Database(t)
		names = append(names, name)
		if got := query(t, server.URL(name), "create table only_here (id int); select current_database()::text"); got != name {
			t.Errorf("connected to %s, want %s", got, name)
		}
	}
	if names[0] == names[1] {
		t.Errorf("both are called %s", names[0])
	}
}

func TestInstalledTakesTheNewestCompleteVersion(t *testing.T) {
	root := t.TempDir()
	for _, f := range []string{"9/bin/postgres", "9/bin/initdb", "16/bin/postgres", "16/bin/initdb", "17/bin/postgres"} {
		path := filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if dir, ok := installed(filepath.Join(root, "*", "bin")); !ok || dir != filepath.Join(root, "16", "bin") {
		t.Errorf("found %q, %v", dir, ok)
	}
	if dir, ok := installed(filepath.Join(root, "nothing", "*")); ok {
		t.Errorf("found %q where nothing is installed", dir)
	}
}
