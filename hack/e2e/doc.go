// Package e2e holds the end-to-end test: it installs the operator with kustomize into the cluster of KUBECONFIG, beside
// the demo's stand-in for Supabase and SpreeDB, and shows that it works there, what it may do, what updates and evictions
// cost, and that nothing is left when it is taken away. `make test-e2e` runs it, with these variables:
//
//   - KUBECONFIG: a cluster to try things on, as its administrator. One that has the operator, or anything of it, is not
//     touched.
//   - E2E_BUILD: the command that builds the image $IMAGE from the stage $TARGET of the Dockerfile. Default:
//     $CONTAINER_TOOL build --target $TARGET --tag $IMAGE . To take images that are there already: true.
//   - E2E_LOAD: the command that brings $IMAGE to where the cluster finds it, such as `kind load docker-image "$IMAGE"`, `docker
//     push "$IMAGE"`; $ARCHIVE is the path of a file for it, if the two commands need one. Default: true.
//   - E2E_IMG, E2E_DEMO_IMG, E2E_CONSOLE_IMG: what the images are called. Default: the names in config/, with the tag e2e.
//   - E2E_OVERLAY: what is installed, such as config/overlays/openshift; config/components/demo comes on top.
//     Default: config/default.
//   - E2E_NAMESPACE: where. It is made and removed. Default: latency-operator-e2e.
//   - E2E_KEEP: set to anything, it leaves the installation there when something failed.
//   - E2EFLAGS: flags of go test, such as -run TestInstallation/Metrics, which still installs and uninstalls.
package e2e
