package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const (
	// readerAccount is whose token somebody gets who has none.
	readerAccount = "latency-operator-reader"
	// tokenSeconds is how long it is good for: ten minutes, the least that the API server gives.
	tokenSeconds = 600
)

// ownToken is the bearer token that the user's requests to the API server carry, wherever it comes from; empty for a user who has none,
// such as one with a client certificate.
func ownToken(ctx context.Context, config *rest.Config) (string, error) {
	if config.Impersonate.UserName != "" {
		return "", nil // theirs would be the token of somebody else
	}
	keep := &keeper{}
	dressed, err := rest.HTTPWrappersForConfig(config, keep)
	if err != nil {
		return "", err
	}
	// The request goes nowhere; only what is added to it matters.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://localhost/", nil)
	if err != nil {
		return "", err
	}
	res, err := dressed.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("your credentials cannot be used: %w", err)
	}
	defer res.Body.Close()
	token, ok := strings.CutPrefix(keep.authorization, "Bearer ")
	if !ok {
		return "", nil
	}
	return token, nil
}

// keeper is an http.RoundTripper that keeps what it is given.
type keeper struct{ authorization string }

// RoundTrip implements http.RoundTripper.
func (k *keeper) RoundTrip(req *http.Request) (*http.Response, error) {
	k.authorization = req.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusOK, Request: req, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// token is what the operator knows the user by: their own, or a short-lived one of the account that is there for people without one.
func (o *operator) token(ctx context.Context, explain func(error) error) (string, error) {
	token, err := ownToken(ctx, o.config)
	if err != nil || token != "" {
		return token, err
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(tokenSeconds))}}
	answer, err := o.core.ServiceAccounts(o.pod.Namespace).CreateToken(ctx, readerAccount, request, metav1.CreateOptions{})
	if err != nil {
		return "", explain(err)
	}
	if answer.Status.Token == "" {
		return "", errors.New("the cluster gave out an empty token: try again")
	}
	return answer.Status.Token, nil
}
