//! Cryptographic operations of PKCS#11 mechanisms, over aws-lc, behind a safe interface. It knows nothing of PKCS#11.
