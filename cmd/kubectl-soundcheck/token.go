package main

import (
	"context"
	"errors"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// readerAccount may read samples and nothing else.
	readerAccount = "latency-operator-reader"
	// tokenSeconds is how long its token is good for: ten minutes, the least that the API server gives.
	tokenSeconds = 600
)

// token is what the operator's pod is shown: a short-lived one of the account that may only read samples. Never the user's own:
// whoever may change pods in the operator's namespace could read it there, and be whoever asks.
func (o *operator) token(ctx context.Context, explain func(error) error) (string, error) {
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
