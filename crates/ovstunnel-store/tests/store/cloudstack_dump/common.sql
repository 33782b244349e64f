CREATE TABLE `data_center` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(255) DEFAULT NULL,
  `uuid` varchar(40) DEFAULT NULL,
  `networktype` varchar(255) NOT NULL DEFAULT 'Basic',
  `removed` datetime DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `i_data_center__removed` (`removed`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `data_center` VALUES (1,'dc1','d1','Advanced',NULL),(2,'dc2','d2','Advanced',NULL),(3,'gone','d3','Advanced','2012-06-01 10:00:00');

CREATE TABLE `configuration` (
  `category` varchar(255) NOT NULL DEFAULT 'Advanced',
  `instance` varchar(255) NOT NULL,
  `component` varchar(255) NOT NULL DEFAULT 'management-server',
  `name` varchar(255) NOT NULL,
  `value` varchar(4095) DEFAULT NULL,
  `description` varchar(1024) DEFAULT NULL,
  PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `configuration` VALUES ('Network','DEFAULT','management-server','sdn.ovs.controller','true',''),('Network','DEFAULT','management-server','sdn.ovs.controller.default.label',NULL,''),('Advanced','DEFAULT','management-server','wait','1800','');

CREATE TABLE `host` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(255) NOT NULL,
  `uuid` varchar(40) DEFAULT NULL,
  `status` varchar(32) NOT NULL,
  `type` varchar(32) NOT NULL,
  `private_ip_address` char(40) NOT NULL,
  `data_center_id` bigint unsigned NOT NULL,
  `hypervisor_type` varchar(32) DEFAULT NULL,
  `removed` datetime DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `i_host__removed` (`removed`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `host` VALUES (1,'xen1','h1','Up','Routing','10.0.0.1',1,'XenServer',NULL),(2,'xen2','h2','Up','Routing','10.0.0.2',1,'XenServer',NULL),(3,'old','h3','Removed','Routing','10.0.0.3',1,'XenServer','2013-01-01 00:00:00'),(4,'s-1-VM','h4','Up','SecondaryStorageVM','10.0.0.4',1,NULL,NULL);

CREATE TABLE `physical_network` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `uuid` varchar(40) DEFAULT NULL,
  `data_center_id` bigint unsigned NOT NULL,
  `vnet` varchar(255) DEFAULT NULL,
  `state` varchar(32) NOT NULL DEFAULT 'Disabled',
  `created` datetime DEFAULT NULL,
  `removed` datetime DEFAULT NULL,
  `name` varchar(255) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `physical_network` VALUES (200,'p1',1,'1001-1010','Enabled','2012-06-01 10:00:00',NULL,'guest'),(201,'p2',1,NULL,'Enabled','2012-06-01 10:00:00','2012-06-02 10:00:00','gone');

CREATE TABLE `physical_network_isolation_methods` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `physical_network_id` bigint unsigned NOT NULL,
  `isolation_method` varchar(255) NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `physical_network_id` (`physical_network_id`,`isolation_method`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `physical_network_isolation_methods` VALUES (1,200,'GRE'),(2,201,'VLAN');

CREATE TABLE `physical_network_traffic_types` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `uuid` varchar(40) DEFAULT NULL,
  `physical_network_id` bigint unsigned NOT NULL,
  `traffic_type` varchar(32) NOT NULL,
  `xen_network_label` varchar(255) DEFAULT NULL,
  `kvm_network_label` varchar(255) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `physical_network_id` (`physical_network_id`,`traffic_type`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `physical_network_traffic_types` VALUES (1,'t1',200,'Guest','cloud-guest',NULL),(2,'t2',200,'Public','cloud-public','cloudbr0');

CREATE TABLE `op_dc_vnet_alloc` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `vnet` varchar(18) NOT NULL,
  `physical_network_id` bigint unsigned NOT NULL,
  `data_center_id` bigint unsigned NOT NULL,
  `reservation_id` char(40) DEFAULT NULL,
  `account_id` bigint unsigned DEFAULT NULL,
  `taken` datetime DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `i_op_dc_vnet_alloc__vnet` (`vnet`,`physical_network_id`,`data_center_id`),
  KEY `i_op_dc_vnet_alloc__taken` (`taken`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `op_dc_vnet_alloc` VALUES (1,'1001',200,1,'r1',2,'2012-06-01 10:00:00'),(2,'1002',200,1,'r2',2,'2012-06-01 10:00:01'),(3,'1003',200,1,NULL,NULL,NULL);

CREATE TABLE `networks` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(255) DEFAULT NULL,
  `uuid` varchar(40) DEFAULT NULL,
  `traffic_type` varchar(32) NOT NULL,
  `broadcast_domain_type` varchar(32) NOT NULL,
  `broadcast_uri` varchar(255) DEFAULT NULL,
  `data_center_id` bigint unsigned NOT NULL,
  `physical_network_id` bigint unsigned DEFAULT NULL,
  `account_id` bigint unsigned NOT NULL,
  `state` varchar(32) NOT NULL,
  `reservation_id` char(40) DEFAULT NULL,
  `removed` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `networks` VALUES (204,'web','n1','Guest','Vswitch','vs://1001',1,200,2,'Implemented','r1',NULL),(205,NULL,'n2','Guest','Vswitch','vs://7.1002',1,200,2,'Implemented','r2',NULL),(206,'gone','n3','Guest','Vswitch',NULL,1,200,2,'Destroy',NULL,'2013-01-01 00:00:00');

CREATE TABLE `vm_instance` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `name` varchar(255) NOT NULL,
  `state` varchar(32) NOT NULL,
  `host_id` bigint unsigned DEFAULT NULL,
  `last_host_id` bigint unsigned DEFAULT NULL,
  `type` varchar(32) NOT NULL,
  `removed` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `vm_instance` VALUES (11,'i-2-11-VM','Migrating',2,1,'User',NULL),(12,'r-12-VM','Running',1,1,'DomainRouter',NULL),(13,'i-2-13-VM','Stopped',NULL,2,'User',NULL),(14,'i-2-14-VM','Running',2,2,'User','2013-01-01 00:00:00'),(15,'v-15-VM','Running',2,2,'ConsoleProxy',NULL);

CREATE TABLE `nics` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `instance_id` bigint unsigned DEFAULT NULL,
  `mac_address` varchar(17) DEFAULT NULL,
  `ip4_address` char(40) DEFAULT NULL,
  `network_id` bigint unsigned NOT NULL,
  `removed` datetime DEFAULT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `nics` VALUES (21,11,'02:00:00:00:00:11','10.1.1.11',204,NULL),(22,13,'02:00:00:00:00:13','10.1.1.13',205,NULL),(23,14,'02:00:00:00:00:14','10.1.1.14',205,NULL),(24,15,'02:00:00:00:00:15',NULL,205,NULL),(25,11,'02:00:00:00:01:11',NULL,205,'2013-01-01 00:00:00');

CREATE TABLE `router_network_ref` (
  `id` bigint unsigned NOT NULL AUTO_INCREMENT,
  `router_id` bigint unsigned NOT NULL,
  `network_id` bigint unsigned NOT NULL,
  `guest_type` char(32) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `i_router_network_ref__router_id__network_id` (`router_id`,`network_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
INSERT INTO `router_network_ref` VALUES (31,12,205,'Isolated');

CREATE TABLE `op_lock` (
  `key` varchar(128) NOT NULL UNIQUE,
  `mac` varchar(17) NOT NULL,
  `ip` char(40) NOT NULL,
  `thread` varchar(255) NOT NULL,
  `acquired_on` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  `waiters` int NOT NULL DEFAULT 0,
  PRIMARY KEY (`key`)
) ENGINE=Memory DEFAULT CHARSET=utf8;
