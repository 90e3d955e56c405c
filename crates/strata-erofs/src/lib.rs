//! EROFS metadata images written from an image view, with packs as extra devices.
