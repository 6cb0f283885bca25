// libcurl drags GnuTLS in behind its LDAP and RTMP support, which nothing here uses; its own TLS is OpenSSL's. GnuTLS'
// constructor would read megabytes at every start: GnuTLS asks this function whether to spare it
// (gnutls/gnutls.h, GNUTLS_SKIP_GLOBAL_INIT).

extern "C" int _gnutls_global_init_skip();

extern "C" __attribute__((visibility("default"))) int _gnutls_global_init_skip() { return 1; }
